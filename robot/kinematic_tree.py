"""Forward kinematics and Jacobians of a tree of revolute joints, in closed form and over any batch.

Joint i sits at T_parent_joint[i] in the frame of its parent joint and turns about a fixed axis:
T_base_joint[i] = T_base_joint[parent] T_parent_joint[i] Rot(axis[i], q[i]). The base's parent is -1.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import from_euler_xyz
from vitra_lib.geometry.transforms import make


@dataclass(frozen=True, eq=False)
class KinematicTree:
    """A robot's joints from the base outwards; a parent comes before its children.

    Attributes:
        names: of the joints.
        parent: (joint,) number of the joint before, -1 for the base.
        T_parent_joint: (joint, 4, 4) maps points of the joint at q = 0 into its parent [m].
        axis: (joint, 3) unit axis in the joint's own frame.
        lower, upper: (joint,) limits [rad].
        velocity: (joint,) largest speed [rad/s].
    """

    names: tuple[str, ...]
    parent: Int[np.ndarray, " joint"]
    T_parent_joint: Float[np.ndarray, "joint 4 4"]
    axis: Float[np.ndarray, "joint 3"]
    lower: Float[np.ndarray, " joint"]
    upper: Float[np.ndarray, " joint"]
    velocity: Float[np.ndarray, " joint"]

    def __post_init__(self) -> None:
        if len(set(self.names)) != len(self.names):
            raise BadInput(f"Joint names must differ, but these were given: {', '.join(self.names)}.")
        if (self.parent >= np.arange(len(self.names))).any() or (self.parent < -1).any():
            raise BadInput("A joint's parent must stand before it in the table (or be the base).")
        if not np.allclose(np.linalg.norm(self.axis, axis=1), 1.0, atol=1e-6):
            raise BadInput("Every joint axis must have length 1.")
        if not (self.lower < self.upper).all():
            raise BadInput("Every joint's lower limit must be below its upper limit.")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_rows(
        cls, rows: list[dict], lower: Float[np.ndarray, " joint"], upper: Float[np.ndarray, " joint"]
    ) -> "KinematicTree":
        """Build a tree from table rows with name, parent (name or None), xyz_m, rpy_rad, axis, velocity_rad_s.

        Raises:
            BadInput: a row lacks something, or names a parent that doesn't stand before it.
        """
        try:
            names = tuple(row["name"] for row in rows)
            parent = [-1 if row["parent"] is None else names.index(row["parent"]) for row in rows]
            rpy, xyz, axis = (np.array([row[k] for row in rows], float) for k in ("rpy_rad", "xyz_m", "axis"))
            velocity = np.array([row["velocity_rad_s"] for row in rows], float)
        except (KeyError, ValueError, TypeError) as error:
            raise BadInput(f"The joint table is not whole: {error}.") from error
        return cls(names, np.array(parent), make(from_euler_xyz(rpy), xyz), axis, lower, upper, velocity)

    def forward(self, q: Float[np.ndarray, "*batch joint"]) -> Float[np.ndarray, "*batch joint 4 4"]:
        """Where every joint's frame is.

        Args:
            q: joint angles [rad]; not clipped to the limits.

        Returns:
            Maps points of each joint's frame into the base [m].
        """
        self._check(q)
        turn = np.zeros((*q.shape, 4, 4))
        turn[..., :3, :3] = _about(self.axis, q)
        turn[..., 3, 3] = 1.0
        frames = np.empty((*q.shape, 4, 4))
        for i, parent in enumerate(self.parent):
            own = self.T_parent_joint[i] @ turn[..., i, :, :]
            frames[..., i, :, :] = own if parent < 0 else frames[..., parent, :, :] @ own
        return frames

    def points(
        self,
        q: Float[np.ndarray, "*batch joint"],
        joint: Int[np.ndarray, " point"],
        offset_m: Float[np.ndarray, "point 3"],
    ) -> Float[np.ndarray, "*batch point 3"]:
        """Points fixed to joints, in the base [m]; `joint` -1 is the base itself."""
        frames = self.forward(q)
        base = np.broadcast_to(np.eye(4), (*q.shape[:-1], 1, 4, 4))
        T = np.concatenate([frames, base], axis=-3)[..., joint, :, :]
        return np.einsum("...pij,pj->...pi", T[..., :3, :3], offset_m) + T[..., :3, 3]

    def point_jacobian(
        self,
        q: Float[np.ndarray, "*batch joint"],
        joint: Int[np.ndarray, " point"],
        offset_m: Float[np.ndarray, "point 3"],
    ) -> Float[np.ndarray, "*batch point 3 joint"]:
        """Derivative of `points` by the joint angles [m/rad]."""
        frames = self.forward(q)
        axes = np.einsum("...jab,jb->...ja", frames[..., :3, :3], self.axis)
        arm = self.points(q, joint, offset_m)[..., :, None, :] - frames[..., None, :, :3, 3]
        moved = np.cross(axes[..., None, :, :], arm) * self.moves[joint][..., None]
        return np.swapaxes(moved, -1, -2)

    @property
    def moves(self) -> np.ndarray:
        """(joint + 1, joint) True where turning the second joint moves the first; the last row is the base."""
        table = np.zeros((len(self) + 1, len(self)), bool)
        for i, parent in enumerate(self.parent):
            table[i] = table[parent]  # -1 is the base's row, which stays False
            table[i, i] = True
        return table

    def clip(self, q: Float[np.ndarray, "*batch joint"]) -> Float[np.ndarray, "*batch joint"]:
        """Angles within the limits [rad]; NaN stays NaN."""
        return np.clip(q, self.lower, self.upper)

    def _check(self, q: np.ndarray) -> None:
        if q.shape[-1] != len(self):
            raise BadInput(f"{len(self)} joint angles are needed ({', '.join(self.names)}), not {q.shape[-1]}.")


def _about(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(…, joint, 3, 3) rotations by `angle` about unit axes (Rodrigues)."""
    x, y, z = axis.T
    zero = np.zeros_like(x)
    K = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    s, c = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.eye(3) + s * K + (1.0 - c) * (K @ K)
