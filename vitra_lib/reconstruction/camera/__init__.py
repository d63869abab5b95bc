"""Camera of a clip: static or moving, intrinsics, path, metric scale from hands, merging of clips (section 3.1)."""

from vitra_lib.reconstruction.camera.config import CameraConfig
from vitra_lib.reconstruction.camera.estimate import CameraEstimate, estimate_camera, with_scale
from vitra_lib.reconstruction.camera.merge import ClipCamera, merge_tracks
from vitra_lib.reconstruction.camera.scale import ScaleEstimate, metric_scale, scale_from_hands
from vitra_lib.reconstruction.camera.static import StaticDecision, is_static

__all__ = [
    "CameraConfig",
    "CameraEstimate",
    "ClipCamera",
    "ScaleEstimate",
    "StaticDecision",
    "estimate_camera",
    "is_static",
    "merge_tracks",
    "metric_scale",
    "scale_from_hands",
    "with_scale",
]
