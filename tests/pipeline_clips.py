"""A short clip with known truth for tests of the whole chain: 2.5 s of the sample, made small."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from vitra_lib.contracts import CameraTrack, HandTrack, Reconstruction, Segment
from vitra_lib.core.files import sha256_of
from vitra_lib.core.paths import sample_folder
from vitra_lib.geometry.cameras import scale_K
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.video import VideoReader, VideoWriter

START, STOP = 60, 135
WIDTH, HEIGHT = 320, 240
_HAND_FIELDS = (
    "R_cam_wrist", "t_cam_wrist", "R_parent_joint", "joints_cam", "is_valid", "is_observed", "confidence",
)  # fmt: skip


def short_video(path: Path) -> Path:
    """Write frames [START, STOP) of the sample at 320 x 240."""
    with VideoReader(sample_folder() / "sample.mp4") as reader, VideoWriter(path, 30, WIDTH, HEIGHT) as writer:
        for frame in reader.frames(START, STOP):
            writer.write(cv2.resize(frame.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
    return path


def short_truth(video: Path) -> Reconstruction:
    """The truth of those frames, as if it had been reconstructed from `video`."""
    truth = TabletopClip.load(sample_folder()).truth
    own = slice(START, STOP)
    return replace(
        truth,
        video_name=video.name,
        video_sha256=sha256_of(video),
        source_frame=np.arange(STOP - START),
        time_s=truth.time_s[own] - truth.time_s[START],
        camera=_camera(truth.camera, own),
        left=_hand(truth.left, own),
        right=_hand(truth.right, own),
    )


def short_segments() -> tuple[Segment, ...]:
    """The true segments that lie wholly inside those frames."""
    inside = [s for s in TabletopClip.load(sample_folder()).segments if START <= s.start and s.stop <= STOP]
    return tuple(replace(s, start=s.start - START, stop=s.stop - START) for s in inside)


def hands_free_video(path: Path, frames: int = 30) -> Path:
    """A camera that pans over a texture without any hand."""
    rng = np.random.default_rng(0)
    texture = cv2.resize(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8), (360, 240), interpolation=cv2.INTER_CUBIC)
    with VideoWriter(path, 30, 160, 120) as writer:
        for i in range(frames):
            writer.write(np.ascontiguousarray(texture[i : i + 120, 2 * i : 2 * i + 160]))
    return path


def _camera(camera: CameraTrack, own: slice) -> CameraTrack:
    T = camera.T_world_cam[own]
    K_px = scale_K(camera.K_px, WIDTH / camera.width_px, HEIGHT / camera.height_px)
    known = camera.is_valid[own]
    return replace(
        camera, K_px=K_px, width_px=WIDTH, height_px=HEIGHT, T_world_cam=np.linalg.inv(T[0]) @ T, is_valid=known
    )


def _hand(hand: HandTrack, own: slice) -> HandTrack:
    return replace(hand, **{name: getattr(hand, name)[own] for name in _HAND_FIELDS})
