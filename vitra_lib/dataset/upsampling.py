"""More poses per second: a window re-sampled at a multiple of its rate, so that its horizon shrinks (spec 2.6).

Each run of kept poses is interpolated on its own. Rotations are interpolated through the first two rows of their
matrices and made rotations again; keypoints bone by bone, direction and length apart, so that bones keep their length.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.interpolate import PchipInterpolator, interp1d

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset.window import HandWindow
from vitra_lib.geometry.rotations import euler_xyz
from vitra_lib.hands.skeleton import PARENTS

INTERPOLATIONS: tuple[str, ...] = ("pchip", "linear", "quadratic", "cubic")
_POINTS_NEEDED = {"linear": 2, "quadratic": 3, "cubic": 4, "pchip": 2}
_BONES = [(joint, parent) for joint, parent in enumerate(PARENTS) if parent >= 0]


def upsampled(window: HandWindow, factor: float, method: str = "pchip", official_quirks: bool = False) -> HandWindow:
    """The first poses of the window at `factor` times its rate; as many as there were.

    Args:
        window: with finger rotations (`with_joints`).
        factor: new rate over old rate, at least 1.
        method: how to interpolate; a run too short for it is interpolated linearly.
        official_quirks: let every run reach one old frame past its end, where there is nothing to interpolate.

    Raises:
        BadInput: a factor below 1, or a window without finger rotations.
        UnknownName: another method.
    """
    if method not in INTERPOLATIONS:
        raise UnknownName("interpolation", method, INTERPOLATIONS)
    if factor < 1 or window.R_joint is None:
        raise BadInput(f"Up-sampling needs a factor >= 1 (not {factor}) and a window with finger rotations.")
    samples, hands, poses = window.is_kept.shape
    times = np.linspace(0, poses - 1, int((poses - 1) * factor + 1))[:poses]
    rows = np.concatenate([window.R[..., None, :, :], window.R_joint], axis=-3)[..., :2, :]  # the wrist and 15 joints
    parts = [rows.reshape(samples, hands, poses, -1), window.t_m]
    if window.keypoints_m is not None:
        bone = np.stack([window.keypoints_m[..., a, :] - window.keypoints_m[..., b, :] for a, b in _BONES], axis=-2)
        parts += [bone.reshape(samples, hands, poses, -1), np.linalg.norm(bone, axis=-1)]
    old = np.concatenate(parts, axis=-1)
    new = np.repeat(old[:, :, :1], poses, axis=2)
    kept = np.zeros((samples, hands, poses), bool)
    for sample in range(samples):
        for hand in range(hands):
            for start, stop in _runs(window.is_kept[sample, hand]):
                inside = (times >= start) & (times <= stop - (not official_quirks))
                kept[sample, hand] |= inside
                new[sample, hand, inside] = _interpolated(old[sample, hand, start:stop], times[inside] - start, method)
    return _rebuilt(window, new, kept)


def _runs(kept: Bool[np.ndarray, " poses"]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _interpolated(values: np.ndarray, at: np.ndarray, method: str) -> np.ndarray:
    if len(values) == 1:
        return np.repeat(values, len(at), axis=0)
    known = np.arange(len(values))
    if method == "pchip":
        return PchipInterpolator(known, values, axis=0)(at)
    kind = method if len(values) >= _POINTS_NEEDED[method] else "linear"
    return interp1d(known, values, kind=kind, axis=0, fill_value="extrapolate")(at)


def _rebuilt(window: HandWindow, new: np.ndarray, kept: np.ndarray) -> HandWindow:
    rows, t, rest = new[..., :96], new[..., 96:99], new[..., 99:]
    R = _rotations(rows.reshape(*rows.shape[:-1], 16, 2, 3))
    R = np.where(kept[..., None, None, None], R, np.eye(3))
    keypoints = window.keypoints_m
    if keypoints is not None:
        bone, length = rest[..., :60].reshape(*rest.shape[:-1], 20, 3), rest[..., 60:]
        bone = bone / (np.linalg.norm(bone, axis=-1, keepdims=True) + 1e-8) * length[..., None]
        keypoints = np.zeros_like(keypoints)
        for number, (joint, parent) in enumerate(_BONES):  # a parent comes before its children
            keypoints[..., joint, :] = keypoints[..., parent, :] + bone[..., number, :]
    fingers = euler_xyz(R[..., 1:, :, :]).reshape(*kept.shape, 45)
    joints = R[..., 1:, :, :]
    return replace(
        window, R=R[..., 0, :, :], t_m=t, R_joint=joints, finger_euler=fingers, keypoints_m=keypoints, is_kept=kept
    )


def _rotations(rows: Float[np.ndarray, "*batch 2 3"]) -> Float[np.ndarray, "*batch 3 3"]:
    """Gram-Schmidt on two rows; the third is their cross product."""
    first = rows[..., 0, :] / np.linalg.norm(rows[..., 0, :], axis=-1, keepdims=True)
    second = rows[..., 1, :] - (first * rows[..., 1, :]).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    return np.stack([first, second, np.cross(first, second)], axis=-2)
