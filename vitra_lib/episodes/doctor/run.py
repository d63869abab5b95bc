"""One entry for both kinds of dataset."""

from pathlib import Path

from vitra_lib.core.errors import BadInput
from vitra_lib.episodes.doctor.finding import Report
from vitra_lib.episodes.doctor.limits import DoctorConfig
from vitra_lib.episodes.doctor.official import check_official
from vitra_lib.episodes.doctor.stored import check_store


def check_dataset(
    root: str | Path,
    videos: str | Path | None = None,
    config: DoctorConfig | None = None,
    sample: int | None = None,
    progress: bool = False,
) -> Report:
    """Look for everything that may be wrong with a dataset; nothing is changed.

    Args:
        root: a dataset of this kit, or official VITRA-1M folders.
        videos: folder of the videos of official data (default: "videos" beside the labels).
        config: thresholds.
        sample: look at this many episodes, evenly spread, instead of all; checks that need all are then left out.
        progress: show progress bars.

    Raises:
        BadInput: there is no dataset of either kind.
    """
    root = Path(root)
    config = config or DoctorConfig()
    if sample is not None and sample < 1:
        raise BadInput(f"A sample of {sample} episodes makes no sense: legal are 1 and more.")
    if not root.exists():
        raise BadInput(f"There is no dataset at {root}: it doesn't exist.")
    if (root / "meta").is_dir():
        return check_store(root, config, sample, progress)
    return check_official(root, Path(videos) if videos is not None else None, config, sample, progress)
