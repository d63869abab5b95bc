"""Both hands at one moment, as a prediction starts from them; files of our own and of the official script.

Ours is an `.npz` with the fields of `HandState`. The official `.npy` (spec of the inference, 8.2) is a pickled
dictionary, read without running anything in it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import SIDES, HandTrack, Side
from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path
from vitra_lib.core.pickles import load_npy_object, load_npz
from vitra_lib.episodes.state_action import hand_state
from vitra_lib.geometry.rotations import euler_xyz, nearest_rotation
from vitra_lib.hands.model import HAND_MODELS

_MAX_SKEW = 0.01
_SHAPES = {"R_cam_wrist": (2, 3, 3), "t_cam_wrist": (2, 3), "R_parent_joint": (2, 15, 3, 3), "betas": (2, 10)}
_OFFICIAL = {"R_cam_wrist": "global_orient", "t_cam_wrist": "transl", "R_parent_joint": "hand_pose", "betas": "beta"}


@dataclass(frozen=True, eq=False)
class HandState:
    """Hands (left, right) in the camera of the picture, in MANO's layout and the right-hand convention for both.

    Attributes:
        is_known: True where the hand was found; the other fields of a hand that was not are identity and zeros.
        R_cam_wrist: rotation of the wrist frame into the camera.
        t_cam_wrist: position of the wrist joint [m].
        R_parent_joint: finger rotations.
        betas: shape of `hand_model`.
        hand_model: "standin" or "mano".
        fov_x_rad: full horizontal field of view of the picture [rad]; None if the file does not say.
    """

    is_known: Bool[np.ndarray, "2"]
    R_cam_wrist: Float[np.ndarray, "2 3 3"]
    t_cam_wrist: Float[np.ndarray, "2 3"]
    R_parent_joint: Float[np.ndarray, "2 15 3 3"]
    betas: Float[np.ndarray, "2 10"]
    hand_model: str = "standin"
    fov_x_rad: float | None = None

    @property
    def vector(self) -> Float[np.ndarray, "122"]:
        """The state of both hands as numbers: [t, euler(R), fingers, betas] each, left first."""
        fingers = euler_xyz(self.R_parent_joint).reshape(2, 45)
        return hand_state(self.R_cam_wrist, self.t_cam_wrist, fingers, self.betas).reshape(-1)

    def require(self, sides: tuple[Side, ...], where: str) -> None:
        """Check that hands are there.

        Raises:
            BadInput: one is not; the message says which are.
        """
        known = [side for side, is_known in zip(SIDES, self.is_known, strict=True) if is_known]
        for side in sides:
            if side not in known:
                there = f"only the {known[0]} one is there" if known else "no hand is there"
                raise BadInput(
                    f"The {side} hand is wanted, but in {where} {there}; give a state with it, or use --hands."
                )

    @classmethod
    def of_tracks(cls, tracks: dict[Side, HandTrack], frame: int = 0, fov_x_rad: float | None = None) -> "HandState":
        """The hands of a reconstruction at one frame."""
        both = [tracks[side] for side in SIDES]
        known = np.array([bool(track.is_valid[frame]) for track in both])
        values = {
            "R_cam_wrist": np.stack([track.R_cam_wrist[frame] for track in both]),
            "t_cam_wrist": np.stack([track.t_cam_wrist[frame] for track in both]),
            "R_parent_joint": np.stack([track.R_parent_joint[frame] for track in both]),
            "betas": np.stack([track.betas for track in both]),
        }
        return cls(known, **_blanked(values, known), hand_model=both[0].hand_model, fov_x_rad=fov_x_rad)


def read_hand_state(path: str | Path) -> HandState:
    """Read a hand state, ours (`.npz`) or official (`.npy`).

    Raises:
        BadInput: not there, damaged, of another kind, or with impossible numbers.
        UnsafePickle: a `.npy` file that asks for more than plain data; nothing in it was run.
    """
    path = Path(path)
    if path.suffix not in (".npz", ".npy"):
        raise BadInput(
            f"{path.name} is no hand state: legal are .npz (`vitra predict` writes one) and the official .npy."
        )
    state = _own(path) if path.suffix == ".npz" else _official(path)
    return _checked(state, path.name)


def write_hand_state(path: str | Path, state: HandState) -> None:
    """Write a hand state as `.npz`, whole or not at all.

    Raises:
        WriteFailed: the file can't be written.
    """
    fov = np.nan if state.fov_x_rad is None else state.fov_x_rad
    arrays = {name: getattr(state, name) for name in ("is_known", *_SHAPES)}
    with atomic_path(path) as part:
        np.savez(part, **arrays, hand_model=np.array(state.hand_model), fov_x_rad=np.array(fov))


def _own(path: Path) -> HandState:
    arrays = load_npz(path)
    missing = [name for name in ("is_known", *_SHAPES, "hand_model", "fov_x_rad") if name not in arrays]
    if missing:
        raise BadInput(f"{path.name} is no hand state: {missing[0]} is missing; `vitra predict` writes complete ones.")
    known = _numbers(arrays["is_known"], (2,), path.name, "is_known").astype(bool)
    values = {name: _numbers(arrays[name], shape, path.name, name) for name, shape in _SHAPES.items()}
    fov = float(_numbers(arrays["fov_x_rad"], (), path.name, "fov_x_rad"))
    return HandState(known, **values, hand_model=str(arrays["hand_model"]), fov_x_rad=None if np.isnan(fov) else fov)


def _official(path: Path) -> HandState:
    content = load_npy_object(path)
    if not isinstance(content, dict) or not {"left", "right"} <= content.keys():
        raise BadInput(f"{path.name} is no hand state of the official script: it has no 'left' and 'right'.")
    values = {name: np.zeros(shape) for name, shape in _SHAPES.items()}
    known = np.zeros(2, bool)
    for index, side in enumerate(SIDES):
        frames = content[side]
        if not isinstance(frames, dict):
            raise BadInput(f"{path.name}: the {side} hand is a {type(frames).__name__}, not a dictionary of frames.")
        if not frames:
            continue
        hand, known[index] = frames[min(frames)], True
        for name, theirs in _OFFICIAL.items():
            if not isinstance(hand, dict) or theirs not in hand:
                raise BadInput(f"{path.name}: the {side} hand has no {theirs!r}.")
            values[name][index] = _numbers(hand[theirs], _SHAPES[name][1:], path.name, f"{side} {theirs}")
    fov = content.get("fov_x")
    fov_rad = None if fov is None else float(np.deg2rad(_numbers(fov, (), path.name, "fov_x")))
    return HandState(known, **_blanked(values, known), hand_model="mano", fov_x_rad=fov_rad)


def _numbers(value: object, shape: tuple[int, ...], name: str, what: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"{name}: {what} is not made of numbers.") from None
    if array.shape != shape:
        raise BadInput(f"{name}: {what} has the shape {array.shape}, wanted {shape}.")
    return array


def _blanked(values: dict[str, np.ndarray], known: np.ndarray) -> dict[str, np.ndarray]:
    """Identity and zeros for hands that are not there."""
    neutral = {name: np.broadcast_to(np.eye(3) if shape[-1] == 3 and len(shape) > 2 else 0.0, shape[1:])
               for name, shape in _SHAPES.items()}  # fmt: skip
    return {
        name: np.where(known.reshape(-1, *[1] * (array.ndim - 1)), array, neutral[name]).astype(np.float64)
        for name, array in values.items()
    }


def _checked(state: HandState, name: str) -> HandState:
    """The state with exact rotations; a hand that can't be one is refused."""
    values = _blanked({field: getattr(state, field) for field in _SHAPES}, state.is_known)
    for index in np.flatnonzero(state.is_known):
        hand = {field: array[index] for field, array in values.items()}
        if not all(np.isfinite(array).all() for array in hand.values()):
            raise BadInput(f"{name}: the {SIDES[index]} hand has NaN or infinite numbers; leave the hand out instead.")
        for field in ("R_cam_wrist", "R_parent_joint"):
            R = hand[field]
            skew = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max()
            if skew > _MAX_SKEW or (np.linalg.det(R) < 0).any():
                raise BadInput(f"{name}: {field} of the {SIDES[index]} hand is no rotation (off by {skew:.2g}).")
        if hand["t_cam_wrist"][2] <= 0:
            raise BadInput(
                f"{name}: the {SIDES[index]} wrist is {hand['t_cam_wrist'][2]:.2f} m deep: behind the camera."
            )
    fov = state.fov_x_rad
    if fov is not None and not 0.02 < fov < 3.1:
        raise BadInput(f"{name}: its field of view is {np.rad2deg(fov):.1f} degrees; legal is 2 to 177.")
    if state.hand_model not in HAND_MODELS:
        raise BadInput(f"{name}: its hand model is {state.hand_model!r}; legal are {', '.join(HAND_MODELS)}.")
    for field in ("R_cam_wrist", "R_parent_joint"):
        values[field] = nearest_rotation(values[field])
    return HandState(state.is_known, **values, hand_model=state.hand_model, fov_x_rad=fov)
