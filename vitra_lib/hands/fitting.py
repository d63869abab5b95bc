"""21 points -> wrist pose and 15 finger rotations in MANO's layout: the inverse of forward kinematics, batched.

The wrist comes from a weighted Procrustes fit of the points that move rigidly with it. Each finger then follows from
the DIRECTIONS of its observed bones, so that a person with other bone lengths gets the right angles: a knuckle that
spreads about y and flexes about z is solved in closed form, a hinge is one arctangent, and the thumb's base starts at
the smallest swing. A few bounded Gauss-Newton steps then polish what the closed form can't do (limits, the thumb).
Poses within the limits are recovered exactly. Left hands go through the mirror.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.geometry.rotations import euler_xyz, exp, nearest_rotation
from vitra_lib.hands.kinematics import (
    CHAINS,
    BoneChains,
    FingerDofs,
    chain_jacobian,
    joint_rotations,
    joints_of,
    rest_chains,
)
from vitra_lib.hands.mirror import mirror_points, mirror_rotation
from vitra_lib.hands.model import HandModel
from vitra_lib.hands.skeleton import Side, bone_lengths

RIGID_JOINTS = np.array([0, 1, 5, 9, 13, 17])
"""Joints that no local rotation moves: wrist, thumb base and the four knuckles."""


@dataclass(frozen=True)
class PointFit:
    """A hand pose fitted to points in frame a.

    Attributes:
        R_a_wrist: (time, 3, 3) wrist rotation; identity where invalid.
        t_a_wrist: (time, 3) wrist joint [m]; zero where invalid.
        angles: (time, 15, 3) joint angles in the degrees of freedom asked for [rad], within their limits.
        R_parent_joint: (time, 15, 3, 3) the same as local rotations.
        residual_m: (time,) rms distance between the given points and the fitted joints [m], NaN where invalid.
        is_valid: (time,) False where a point was not finite.
    """

    R_a_wrist: Float[np.ndarray, "time 3 3"]
    t_a_wrist: Float[np.ndarray, "time 3"]
    angles: Float[np.ndarray, "time 15 3"]
    R_parent_joint: Float[np.ndarray, "time 15 3 3"]
    residual_m: Float[np.ndarray, " time"]
    is_valid: Bool[np.ndarray, " time"]


def fit_points(
    points_a: Float[np.ndarray, "time 21 3"],
    side: Side,
    chains: BoneChains,
    dofs: FingerDofs | None = None,
    iterations: int = 12,
) -> PointFit:
    """Fit a hand pose to 21 joints per frame.

    Args:
        points_a: joints in any metric frame a [m], order of `hands.skeleton`; non-finite frames come back invalid.
        side: which hand the points are.
        chains: rest skeleton of the hand (`kinematics.rest_chains`).
        dofs: axes and ranges of the finger joints; None = anatomical.
        iterations: Gauss-Newton steps after the closed form.

    Returns:
        PointFit; composing it with forward kinematics gives the points back where they are reachable.
    """
    dofs = dofs or FingerDofs.anatomical()
    is_valid = np.isfinite(points_a).all(axis=(1, 2))
    observed = points_a if side == "right" else mirror_points(points_a)
    observed = observed[is_valid]
    R, t = _wrist(observed, chains)
    in_wrist = np.einsum("tba,tpb->tpa", R, observed - t[:, None])
    directions = _unit(np.diff(in_wrist[:, CHAINS], axis=2))
    angles = _polish(directions, _closed_form(directions, chains, dofs), chains, dofs, iterations)
    R_parent_joint = joint_rotations(dofs, angles)[0]
    fitted = joints_of(chains, R_parent_joint)
    residual = np.sqrt(np.mean(np.sum((fitted - in_wrist) ** 2, axis=-1), axis=-1))
    if side == "left":
        R, t = mirror_rotation(R), mirror_points(t)
    eye = np.eye(3)
    return PointFit(
        R_a_wrist=_scatter(R, is_valid, eye),
        t_a_wrist=_scatter(t, is_valid, 0.0),
        angles=_scatter(angles, is_valid, 0.0),
        R_parent_joint=_scatter(R_parent_joint, is_valid, eye),
        residual_m=_scatter(residual, is_valid, np.nan),
        is_valid=is_valid,
    )


def estimate_betas(
    model: HandModel,
    points_m: Float[np.ndarray, "time 21 3"],
    is_valid: Bool[np.ndarray, " time"],
    bone_std_m: float = 0.002,
) -> Float[np.ndarray, "10"]:
    """Shape of a hand from the bone lengths of metric points, one shape for the whole clip.

    Lengths are medians over time, betas a least-squares fit with a unit Gaussian prior (a beta is a standard
    deviation of the population), linearised twice.

    Args:
        model: whose betas.
        points_m: joints in any metric frame [m].
        is_valid: frames to use.
        bone_std_m: error of a median bone length [m]; larger trusts the average hand more.

    Returns:
        (10,) betas; zeros if no frame is valid.
    """
    usable = is_valid & np.isfinite(points_m).all(axis=(1, 2))
    betas = np.zeros(10)
    if not usable.any():
        return betas
    measured = np.median(bone_lengths(points_m[usable]), axis=0)
    for _ in range(2):
        base = bone_lengths(rest_chains(model, betas).joints)
        slope = np.stack([bone_lengths(rest_chains(model, betas + d).joints) - base for d in np.eye(10)], axis=1)
        normal = slope.T @ slope / bone_std_m**2 + np.eye(10)
        betas = np.linalg.solve(normal, slope.T @ (measured - base + slope @ betas) / bone_std_m**2)
    return betas


def _wrist(points: np.ndarray, chains: BoneChains) -> tuple[np.ndarray, np.ndarray]:
    """Procrustes fit of the rigid joints; the thumb base counts half, trackers and skeletons place it differently."""
    weight = np.array([1.0, 0.5, 1.0, 1.0, 1.0, 1.0])
    weight = weight / weight.sum()
    rest, seen = chains.joints[RIGID_JOINTS], points[:, RIGID_JOINTS]
    rest_centre, seen_centre = weight @ rest, np.einsum("k,tkc->tc", weight, seen)
    covariance = np.einsum("k,tka,kb->tab", weight, seen - seen_centre[:, None], rest - rest_centre)
    R = nearest_rotation(covariance)
    return R, seen_centre - R @ rest_centre


def _closed_form(directions: np.ndarray, chains: BoneChains, dofs: FingerDofs) -> np.ndarray:
    """Angles from bone directions in the wrist frame, joint by joint down each chain, clipped to the limits."""
    angles = np.zeros((len(directions), 15, 3))
    for joint in range(3):  # all fingers at once would need equal degrees of freedom; three levels of five do
        for finger in range(5):
            index = 3 * finger + joint
            R_parent = _parent(angles, dofs, finger, joint)
            wanted = np.einsum("tba,tb->ta", R_parent, directions[:, finger, joint])
            rest = chains.bones[finger, joint] / np.linalg.norm(chains.bones[finger, joint])
            found = _joint_angles(wanted, rest, dofs.axes[index], dofs.is_free[index])
            angles[:, index] = np.clip(found, dofs.lower[index], dofs.upper[index])
    return angles


def _parent(angles: np.ndarray, dofs: FingerDofs, finger: int, joint: int) -> np.ndarray:
    """Rotation into which a joint of a chain is built, relative to the wrist."""
    R = np.broadcast_to(np.eye(3), (len(angles), 3, 3))
    if joint:
        local = joint_rotations(dofs, angles)[0]
        for earlier in range(joint):
            R = R @ local[:, 3 * finger + earlier]
    return R


def _joint_angles(wanted: np.ndarray, rest: np.ndarray, axes: np.ndarray, is_free: np.ndarray) -> np.ndarray:
    """Angles of one joint that turn the rest direction towards the wanted ones."""
    angles = np.zeros((len(wanted), 3))
    if is_free.sum() == 1:  # a hinge: the angle between the projections on its plane
        k = int(np.flatnonzero(is_free)[0])
        angles[:, k] = _hinge(np.broadcast_to(rest, wanted.shape), wanted, axes[k])
    elif not is_free[0]:  # spread about y, then flexion about z, which keeps z: -sin(b) x + cos(b) z = wanted z
        radius, phase = np.hypot(rest[0], rest[2]), np.arctan2(rest[0], rest[2])
        reach = np.arccos(np.clip(wanted[:, 2] / max(radius, 1e-12), -1.0, 1.0))
        both = np.stack([reach - phase, -reach - phase], axis=-1)
        both = np.arctan2(np.sin(both), np.cos(both))
        spread = np.take_along_axis(both, np.abs(both).argmin(-1)[:, None], axis=-1)[:, 0]
        turned = np.stack([np.cos(spread) * rest[0] + np.sin(spread) * rest[2], np.full(len(spread), rest[1]),
                           np.cos(spread) * rest[2] - np.sin(spread) * rest[0]], axis=-1)  # fmt: skip
        angles[:, 1], angles[:, 2] = spread, _hinge(turned, wanted, axes[2])
    else:  # three axes and one direction: the smallest turn, polished later
        cross = np.cross(rest, wanted)
        sine = np.linalg.norm(cross, axis=-1)
        angle = np.arctan2(sine, wanted @ rest)
        angles = euler_xyz(exp(cross * (angle / np.maximum(sine, 1e-12))[:, None]))
    return angles


def _hinge(start: np.ndarray, stop: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Signed angle about a unit axis from one direction to another."""
    sine = np.cross(start, stop) @ axis
    cosine = np.sum(start * stop, axis=-1) - (start @ axis) * (stop @ axis)
    return np.arctan2(sine, cosine)


def _polish(
    directions: np.ndarray, angles: np.ndarray, chains: BoneChains, dofs: FingerDofs, iterations: int
) -> np.ndarray:
    """Bounded Gauss-Newton on the nine angles of each finger of the frames that the closed form leaves off."""
    lengths = np.linalg.norm(chains.bones, axis=-1)
    target = chains.base[None, :, None] + np.cumsum(directions * lengths[None, :, :, None], axis=2)
    lower, upper = dofs.lower.reshape(5, 9), dofs.upper.reshape(5, 9)
    scale = 1e-9 * (lengths.sum(-1) ** 2)[None, :, None]
    angles = angles.reshape(-1, 5, 9).copy()
    open_frames = np.arange(len(angles))
    for _ in range(iterations):
        part = angles[open_frames]
        points, jacobian = chain_jacobian(chains, dofs, part.reshape(-1, 15, 3))
        residual = (target[open_frames] - points[:, :, 1:]).reshape(-1, 5, 9)
        J = jacobian.reshape(-1, 5, 9, 9)
        gradient = (residual[:, :, None] @ J)[:, :, 0]
        # An angle on its bound that wants to leave it is held for this step.
        is_held = ((part <= lower) & (gradient <= 0)) | ((part >= upper) & (gradient >= 0)) | (lower == upper)
        free = (~is_held).astype(float)
        normal = (np.swapaxes(J, -1, -2) @ J) * free[..., None] * free[..., None, :]
        normal = normal + np.where(is_held, 1.0, scale)[..., None] * np.eye(9)
        step = np.linalg.solve(normal, (gradient * free)[..., None])[..., 0]
        moved = np.clip(part + np.clip(step, -0.5, 0.5), lower, upper)
        angles[open_frames] = moved
        open_frames = open_frames[np.abs(moved - part).max(axis=(1, 2)) > 1e-9]
        if len(open_frames) == 0:
            break
    return angles.reshape(-1, 15, 3)


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)


def _scatter(values: np.ndarray, is_valid: np.ndarray, fill: float | np.ndarray) -> np.ndarray:
    """Put the rows of valid frames back among all frames."""
    full = np.empty((len(is_valid), *values.shape[1:]))
    full[:] = fill
    full[is_valid] = values
    return full
