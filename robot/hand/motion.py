"""Recorded motion of a human hand, from whatever recorded it, in the axes of its own wrist."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import HandTrack
from vitra_lib.core.errors import BadInput
from vitra_lib.core.pickles import load_npz, load_pickle
from vitra_lib.geometry.rotations import euler_xyz
from vitra_lib.hands.fitting import estimate_betas, fit_points
from vitra_lib.hands.kinematics import rest_chains
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.skeleton import Side


@dataclass(frozen=True, eq=False)
class HumanMotion:
    """One hand over time.

    Attributes:
        side: which hand.
        joints_wrist: (time, 21, 3) joints in the wrist's axes, the wrist at the origin [m]; NaN where invalid.
        finger_euler: (time, 15, 3) static-axes xyz angles in the right-hand convention [rad]; zero where invalid.
        flat_wrist: (21, 3) the same hand laid flat, in the wrist's axes [m].
        is_valid: (time,) True where the pose is known.
    """

    side: Side
    joints_wrist: Float[np.ndarray, "time 21 3"]
    finger_euler: Float[np.ndarray, "time 15 3"]
    flat_wrist: Float[np.ndarray, "21 3"]
    is_valid: Bool[np.ndarray, " time"]

    def __len__(self) -> int:
        return len(self.is_valid)


def motion_of_points(points: Float[np.ndarray, "time 21 3"], side: Side) -> HumanMotion:
    """The motion behind 21 joints per frame in any metric frame; wrist and finger angles are fitted.

    Args:
        points: joints [m]; frames with NaN come back invalid.
        side: which hand they are.

    Raises:
        BadInput: no frame is whole.
    """
    valid = np.isfinite(points).all(axis=(1, 2))
    if not valid.any():
        raise BadInput("The recording has no frame in which all 21 joints are known.")
    model = load_hand_model("standin")
    chains = rest_chains(model, estimate_betas(model, points, valid))
    fit = fit_points(points, side, chains)
    return _motion(points, fit.R_a_wrist, fit.R_parent_joint, chains.joints, fit.is_valid, side)


def motion_of_track(track: HandTrack) -> HumanMotion:
    """The motion of a reconstructed hand.

    Raises:
        BadInput: no frame is valid.
    """
    if not track.is_valid.any():
        raise BadInput(f"The {track.side} hand is valid in no frame of the recording; try the other --side.")
    if track.hand_model == "standin":
        flat = rest_chains(load_hand_model("standin"), track.betas).joints
    else:  # MANO's file is the user's own: its bones are measured on the recording instead
        return motion_of_points(np.where(track.is_valid[:, None, None], track.joints_cam, np.nan), track.side)
    return _motion(track.joints_cam, track.R_cam_wrist, track.R_parent_joint, flat, track.is_valid, track.side)


def read_motion(path: str | Path, side: Side) -> HumanMotion:
    """Read recorded human motion.

    Args:
        path: .pkl with a list of (21, 3) joints per frame, .npz with an array `joints` (time, 21, 3), a folder or .npz
            of `vitra reconstruct`, a rendered clip, or an official .npy episode.
        side: which hand.

    Raises:
        BadInput: none of these, damaged, or the hand is not in it.
    """
    path = Path(path)
    if path.suffix == ".pkl":
        return motion_of_points(_points(load_pickle(path), path.name), side)
    if path.suffix == ".npz" and path.is_file():
        content = load_npz(path)
        if "joints" in content:
            return motion_of_points(_points(content["joints"], path.name), side)
    from vitra_lib.evaluation.compare import read_subject

    hands = read_subject(path).hands
    if side not in hands:
        raise BadInput(f"{path.name} holds no {side} hand.")
    return motion_of_track(hands[side])


def _points(content: object, name: str) -> np.ndarray:
    try:
        points = np.asarray(content, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} does not hold 21 joints with 3 coordinates per frame.") from error
    if points.ndim != 3 or points.shape[1:] != (21, 3) or not len(points):
        raise BadInput(f"{name} holds an array of shape {points.shape}; needed is (frames, 21, 3).")
    return points


def _motion(
    joints: np.ndarray, R: np.ndarray, R_parent_joint: np.ndarray, flat: np.ndarray, valid: np.ndarray, side: Side
) -> HumanMotion:
    mirror = np.array([-1.0, 1.0, 1.0]) if side == "left" else np.ones(3)
    in_wrist = np.einsum("tba,tpb->tpa", R, joints - joints[:, :1])
    valid = valid & np.isfinite(in_wrist).all(axis=(1, 2))
    return HumanMotion(
        side=side,
        joints_wrist=np.where(valid[:, None, None], in_wrist, np.nan),
        finger_euler=np.where(valid[:, None, None], euler_xyz(R_parent_joint), 0.0),
        flat_wrist=(flat - flat[:1]) * mirror,
        is_valid=valid,
    )
