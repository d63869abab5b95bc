"""The types that stages exchange: frozen dataclasses whose fields state shape, unit and frame."""

from vitra_lib.contracts.camera_track import CameraTrack
from vitra_lib.contracts.caption import Caption
from vitra_lib.contracts.hand_track import HandTrack
from vitra_lib.contracts.reconstruction import Reconstruction
from vitra_lib.contracts.rejection import Rejection
from vitra_lib.contracts.segment import Repeat, Segment, Segmentation

__all__ = [
    "CameraTrack",
    "Caption",
    "HandTrack",
    "Reconstruction",
    "Rejection",
    "Repeat",
    "Segment",
    "Segmentation",
]
