"""Teleoperated episodes whose every number follows from smooth joint paths, for the tests of the robot."""

from dataclasses import replace

import numpy as np

from robot.arm import load_arm
from robot.hand import load_hand
from robot.teleop.episode import TeleArm, TeleEpisode, placed
from vitra_lib.geometry.rotations import exp
from vitra_lib.geometry.transforms import make

FPS = 30.0


def smooth_path(rng: np.random.Generator, low: np.ndarray, high: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """(time, joint) slow sines well inside the limits."""
    middle, half = (low + high) / 2, (high - low) / 2
    phase, rate = rng.uniform(0, 2 * np.pi, len(low)), rng.uniform(0.3, 0.9, len(low))
    return middle + 0.4 * np.minimum(half, 0.8) * np.sin(phase + rate * times_s[:, None] * 2)


def make_arm(rng: np.random.Generator, side: str, frames: int, lag_frames: int = 0) -> TeleArm:
    """An arm that does exactly what it was told `lag_frames` earlier."""
    times = np.arange(frames + lag_frames) / FPS
    arm, hand = load_arm(), load_hand("xhand", side)
    arm_path = smooth_path(rng, arm.tree.lower, arm.tree.upper, times)
    hand_path = smooth_path(rng, hand.tree.lower, hand.tree.upper, times)
    sign = 1.0 if side == "right" else -1.0
    T_base_cam = make(exp(np.array([2.0, 0.1 * sign, 0.2])), np.array([0.1, 0.3 * sign, 0.7]))
    T_flange_mount = make(exp(np.array([0.1, -0.4, 1.2 * sign])), np.array([0.0, 0.01, 0.08]))
    told = slice(lag_frames, None)
    done = slice(None, frames)
    values = TeleArm(
        T_flange_mount, T_base_cam, arm_path[done], hand_path[done], np.zeros((frames, 6)), np.zeros((frames, 6)),
        arm_path[told], hand_path[told], np.ones(frames, bool), np.ones(frames, bool),
    )  # fmt: skip
    return placed(values, arm.forward(values.arm_rad))


def make_tele(
    seed: int = 0, frames: int = 24, sides: tuple[str, ...] = ("right",), name: str = "000001", lag_frames: int = 0
) -> TeleEpisode:
    """A whole episode without a fault."""
    rng = np.random.default_rng(seed)
    arms = {
        side: make_arm(rng, side, frames, lag_frames) if side in sides else TeleArm.absent(frames)
        for side in ("left", "right")
    }
    K = np.array([[60.0, 0.0, 32.0], [0.0, 61.0, 24.0], [0.0, 0.0, 1.0]])
    return TeleEpisode(name, "Pick up the cup", f"videos/{name}.mp4", FPS, K, "left" in sides, "right" in sides, **arms)


def make_images(frames: int) -> list[np.ndarray]:
    """(48, 64, 3) pictures that differ."""
    ramp = np.linspace(0, 200, 64).astype(np.uint8)
    return [np.broadcast_to(ramp[None, :, None] + np.uint8(i), (48, 64, 3)).copy() for i in range(frames)]


def with_arm(episode: TeleEpisode, side: str, **changes: object) -> TeleEpisode:
    """The episode with one arm changed."""
    return replace(episode, **{side: replace(episode.arm(side), **changes)})
