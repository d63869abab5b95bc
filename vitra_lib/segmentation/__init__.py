"""Atomic actions: each hand's track is cut where the speed of its wrist has a minimum."""

from vitra_lib.segmentation.config import RULES, SegmentationConfig
from vitra_lib.segmentation.segment import segment
from vitra_lib.segmentation.speed import smoothed_motion

__all__ = ["RULES", "SegmentationConfig", "segment", "smoothed_motion"]
