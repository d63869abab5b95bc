"""The doctor: what is wrong with a dataset, where, and how to mend it; for the store and for official folders."""

from vitra_lib.episodes.doctor.finding import Finding, Report
from vitra_lib.episodes.doctor.limits import DoctorConfig
from vitra_lib.episodes.doctor.run import check_dataset

__all__ = ["DoctorConfig", "Finding", "Report", "check_dataset"]
