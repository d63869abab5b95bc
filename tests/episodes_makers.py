"""Small, exact inputs for the tests of episodes: a drawn video, a known reconstruction, captions."""

from pathlib import Path

import numpy as np

from vitra_lib.contracts import CameraTrack, Caption, HandTrack, Reconstruction, Segment
from vitra_lib.geometry.cameras import K_from_focal
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make
from vitra_lib.video import VideoWriter

WIDTH, HEIGHT, FPS = 96, 64, 30


def make_video(path: Path, frames: int, fps: float = FPS, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """A video whose frame n has a grey level that tells n apart from its neighbours."""
    with VideoWriter(path, float(fps), width, height) as writer:
        for n in range(frames):
            writer.write(np.full((height, width, 3), frame_grey(n), np.uint8))
    return path


def frame_grey(n: int) -> int:
    """Grey level of frame n in `make_video`."""
    return 20 + (n * 37) % 200


def _track(side: str, time: int, rng: np.random.Generator, invalid: slice) -> HandTrack:
    is_valid = np.ones(time, bool)
    is_valid[invalid] = False
    joints = rng.normal(0, 0.05, (time, 21, 3)) + [0, 0, 0.5]
    joints[~is_valid] = np.nan
    walk = np.cumsum(rng.normal(0, 0.01, (time, 3)), axis=0)
    return HandTrack(
        side=side,
        R_cam_wrist=exp(np.cumsum(rng.normal(0, 0.05, (time, 3)), axis=0)),
        t_cam_wrist=walk + [0, 0, 0.5],
        R_parent_joint=exp(rng.normal(0, 0.3, (time, 15, 3))),
        betas=rng.normal(0, 1, 10),
        joints_cam=joints,
        is_valid=is_valid,
        is_observed=is_valid,
        confidence=is_valid * 0.9,
        hand_model="standin",
    )


def make_reconstruction(time: int = 60, seed: int = 0, name: str = "clip.mp4") -> Reconstruction:
    """Moving camera, right hand always valid, left hand lost in [10, 14)."""
    rng = np.random.default_rng(seed)
    R = exp(np.cumsum(rng.normal(0, 0.02, (time, 3)), axis=0))
    camera = CameraTrack(
        K_px=K_from_focal(80.0, WIDTH, HEIGHT),
        width_px=WIDTH,
        height_px=HEIGHT,
        T_world_cam=make(R, np.cumsum(rng.normal(0, 0.01, (time, 3)), axis=0)),
        is_valid=np.ones(time, bool),
        is_static=False,
        intrinsics_source="truth",
        scale_source="truth",
        scale_rel_std=float("nan"),
        method="truth",
    )
    return Reconstruction(
        video_name=name,
        video_sha256="ab" * 32,
        fps=float(FPS),
        source_frame=np.arange(time),
        time_s=np.arange(time) / FPS,
        camera=camera,
        left=_track("left", time, rng, slice(10, 14)),
        right=_track("right", time, rng, slice(0, 0)),
        quality={"right_coverage": 1.0, "reprojection_rel": float("nan")},
    )


def make_caption(side: str, start: int, stop: int, text: str = "Pick up the cup.", **kwargs) -> Caption:
    """A caption of a segment."""
    segment = Segment(side, start, stop, 0.2, 0.3, 1.0, "speed-minima")
    return Caption(segment, text, **({"is_na": False, "source": "truth", "is_weak": False} | kwargs))


def make_captions() -> tuple[Caption, ...]:
    """Four sentences with overlaps between hands."""
    return (
        make_caption("right", 0, 25, rephrasings=("Pick up the cup.", " Grasp the cup")),
        make_caption("right", 25, 50, "Pour the water."),
        make_caption("left", 5, 40, "Hold the bowl.", is_weak=True, source="motion-only"),
        make_caption("left", 40, 60, "Push the plate.", source="openai:model"),
    )
