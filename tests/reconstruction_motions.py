"""Plausible hand motions with truth, and what a biased detector and lifter would report of them."""

import numpy as np
from scipy.spatial.transform import Rotation

from vitra_lib.contracts import CameraTrack, HandTrack
from vitra_lib.contracts.hand_track import Side
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.transforms import make
from vitra_lib.hands.grasps import POSES, named_pose, to_rotations
from vitra_lib.hands.kinematics import pose_joints
from vitra_lib.hands.model import load_hand_model
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.lifter import LiftedHand

K_PX = np.array([[400.0, 0, 320], [0, 400, 240], [0, 0, 1]])
FPS = 30.0


def hand_motion(seed: int, time: int, side: Side = "right", fps: float = FPS) -> tuple[np.ndarray, HandTrack]:
    """Times and the true track of a hand that reaches and grasps once per second in front of the camera."""
    rng = np.random.default_rng(seed)
    times = np.arange(time) / fps
    count = int(times[-1]) + 3
    place = np.stack([rng.uniform(-0.15, 0.2, count), rng.uniform(-0.05, 0.2, count), rng.uniform(0.3, 0.6, count)], 1)
    turn = Rotation.from_euler("xyz", [0, 90, 60], degrees=True) * Rotation.from_rotvec(rng.normal(0, 0.4, (count, 3)))
    shape = np.stack([named_pose(name) for name in rng.choice(POSES, count)])
    key = times.astype(int)
    s = np.clip((times - key) / 0.8, 0, 1)
    s = (10 * s**3 - 15 * s**4 + 6 * s**5)[:, None]
    t = place[key] * (1 - s) + place[key + 1] * s
    R = (turn[key] * Rotation.from_rotvec(s * (turn[key].inv() * turn[key + 1]).as_rotvec())).as_matrix()
    fingers = to_rotations(shape[key] * (1 - s[..., None]) + shape[key + 1] * s[..., None])
    joints = pose_joints(load_hand_model(), side, R, t, fingers, np.zeros(10))
    seen = np.ones(time, bool)
    return times, HandTrack(side, R, t, fingers, np.zeros(10), joints, seen, seen.copy(), np.full(time, 0.8), "standin")


def moving_camera(times: np.ndarray) -> CameraTrack:
    """A head that turns and drifts."""
    R = Rotation.from_rotvec(np.stack([0.3 * np.sin(times), 0.2 * np.sin(1.7 * times), 0.1 * times], 1)).as_matrix()
    T = make(R, np.stack([0.1 * times, 0.02 * np.sin(3 * times), 0 * times], 1))
    valid = np.ones(len(times), bool)
    return CameraTrack(K_PX, 640, 480, T, valid, False, "truth", "truth", 0.0, "truth")


def slow_noise(rng: np.random.Generator, time: int, shape: tuple[int, ...], tau_s: float = 0.3) -> np.ndarray:
    """Unit noise that stays alike for about `tau_s`, as a detector's errors do."""
    keep = np.exp(-1 / FPS / tau_s)
    x = rng.normal(size=(time, *shape))
    for k in range(1, time):
        x[k] = keep * x[k - 1] + np.sqrt(1 - keep**2) * x[k]
    return x


def observed(truth: HandTrack, seed: int, size: float = 1.0) -> tuple[LiftedHand, HandDetections]:
    """Detected points and lifted joints with slow and fast errors; `size` 0 is perfect, 1 like real trackers."""
    rng = np.random.default_rng(seed + 1000)
    time, joints = len(truth), truth.joints_cam
    uv = project(K_PX, joints)
    hand_px = 400 * np.linalg.norm(joints[:, 9] - joints[:, 0], axis=-1) / joints[:, 0, 2]
    centre = uv.mean(axis=1, keepdims=True)
    uv = centre + (uv - centre) * np.exp(0.1 * size * slow_noise(rng, time, (1, 1)))
    jitter = slow_noise(rng, time, (21, 2)) + rng.normal(size=uv.shape)
    uv = uv + 0.07 * size * hand_px[:, None, None] * jitter
    tilt = Rotation.from_rotvec(0.12 * size * (slow_noise(rng, time, (3,)) + rng.normal(size=(time, 3)))).as_matrix()
    relative = (joints - joints[:, :1]) @ np.swapaxes(tilt, 1, 2) + 0.008 * size * rng.normal(size=joints.shape)
    depth = 0.06 * size * (slow_noise(rng, time, (1,)) + rng.normal(size=(time, 1)))
    wrist = truth.t_cam_wrist * np.exp(depth)
    relative[:, 0] = 0
    known = truth.is_valid.copy()
    lifted = LiftedHand(truth.side, wrist[:, None] + relative, np.full(time, 0.04), np.full(time, 0.015), known)
    detections = HandDetections(truth.side, uv, np.zeros((time, 21, 3)), np.full(time, 0.9), truth.is_valid.copy())
    return lifted, detections
