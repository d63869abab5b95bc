"""Rendered pieces of video with their truth, as the lifter is trained on them: lone hands, and the tabletop at work.

Lone hands (`hand_views`) cover any pose before any background; pieces of tabletop clips show what a hand at work looks
like: half hidden by what it holds, seen along the fingers, the other hand beside it. Only objects and textures of the
"train" split appear, so that clips of the other splits stay unseen.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.generate import generate_clip
from vitra_lib.tabletop.hand_views import hand_view
from vitra_lib.tabletop.render import PostConfig, apply_camera_effects
from vitra_lib.tabletop.staging import Stage

_PIECES = 3
_PIECE_FRAMES = 10
_STRIDE = 2  # every second frame of 30 per second: enough for the tracker to follow, half the rendering


@dataclass(frozen=True)
class TrainingView:
    """A piece of rendered video with its truth.

    Attributes:
        frames: (time, height, width, 3) RGB.
        times_s: (time,) times of the frames inside the clip they come from [s].
        K_px: (3, 3) intrinsics in pixels of the frames.
        joints_cam: per hand in the scene, its (time, 21, 3) true joints in the camera [m]; NaN where out of view.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    times_s: Float[np.ndarray, " time"]
    K_px: Float[np.ndarray, "3 3"]
    joints_cam: dict[Side, Float[np.ndarray, "time 21 3"]]


def lone_hand(seed: int, index: int) -> list[TrainingView]:
    """Clip `index` of the lone hands of a seed: one short piece."""
    view = hand_view(seed, index)
    times = np.arange(len(view.frames)) / 15.0
    return [TrainingView(view.frames, times, view.K_px, {view.side: view.joints_cam})]


def tabletop_pieces(seed: int, index: int) -> list[TrainingView]:
    """Three separate pieces of one tabletop clip; the same numbers always give the same pieces.

    Args:
        seed: of the set.
        index: of the clip; neighbouring seeds must be further apart than the number of clips.
    """
    rng = np.random.default_rng([seed, index, 78])
    width = int(rng.choice([360, 400, 480]))
    height = int(rng.choice([0.5625, 0.75, 0.76]) * width) // 2 * 2
    config = ClipConfig(seed=seed + index, duration_s=8.0, width_px=width, height_px=height, split="train")
    clip = generate_clip(config)
    stage, truth = Stage.of(clip), clip.truth
    span = 1 + (_PIECE_FRAMES - 1) * _STRIDE
    free = len(clip) - _PIECES * (span + _STRIDE)
    starts = np.sort(rng.integers(0, free + 1, _PIECES)) + np.arange(_PIECES) * (span + _STRIDE)
    post = PostConfig(
        blur_sigma_px=float(rng.uniform(0.0, 0.8)),
        noise_std=float(rng.uniform(0.5, 4.0)),
        vignetting=float(rng.uniform(0.0, 0.3)),
        white_balance=(float(rng.uniform(0.92, 1.08)), 1.0, float(rng.uniform(0.92, 1.08))),
        jpeg_quality=int(rng.integers(60, 96)),
    )
    views = []
    for start in starts.tolist():
        rows = np.arange(start, start + span, _STRIDE)
        images = [apply_camera_effects(stage.render(int(i)).image, replace(post, seed=seed + int(i))) for i in rows]
        joints = {}
        for side in SIDES:
            hand = truth.hand(side)
            if hand.is_valid.any():
                joints[side] = np.where(hand.is_valid[rows, None, None], hand.joints_cam[rows], np.nan)
        views.append(TrainingView(np.stack(images), rows / config.fps, truth.camera.K_px, joints))
    return views


def tabletop_poses(seed: int, index: int) -> dict[Side, Float[np.ndarray, "n 21 3"]]:
    """True joints in the camera [m] of both hands of one tabletop clip, without a picture: every fourth frame.

    Args:
        seed: of the set.
        index: of the clip; neighbouring seeds must be further apart than the number of clips.
    """
    truth = generate_clip(ClipConfig(seed=seed + index, duration_s=8.0, split="train")).truth
    return {side: truth.hand(side).joints_cam[np.flatnonzero(truth.hand(side).is_valid)[::4]] for side in SIDES}
