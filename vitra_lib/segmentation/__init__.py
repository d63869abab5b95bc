"""Atomic actions: each hand's track is cut where the speed of its wrist has a minimum."""

from vitra_lib.segmentation.config import RULES, SegmentationConfig
from vitra_lib.segmentation.repeats import merge_repeats, merged_cuts
from vitra_lib.segmentation.segment import segment, segment_path
from vitra_lib.segmentation.speed import smoothed_motion
from vitra_lib.segmentation.track import WristPath

__all__ = [
    "RULES",
    "SegmentationConfig",
    "WristPath",
    "merge_repeats",
    "merged_cuts",
    "segment",
    "segment_path",
    "smoothed_motion",
]
