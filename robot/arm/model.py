"""One arm: its joints, limits, forward kinematics and Jacobian."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from robot.kinematic_tree import KinematicTree
from robot.tables import find_table
from vitra_lib.core.errors import BadInput, UnknownName


@dataclass(frozen=True, eq=False)
class Arm:
    """A serial arm whose last joint carries the flange.

    Attributes:
        name: table and variant.
        tree: its joints; the limits are the intersection of all sources of the table.
    """

    name: str
    tree: KinematicTree

    def __len__(self) -> int:
        return len(self.tree)

    def forward(self, q: Float[np.ndarray, "*batch joint"]) -> Float[np.ndarray, "*batch 4 4"]:
        """T_base_flange of joint angles [rad]: maps points of the flange into the arm's base [m]."""
        return self.tree.forward(q)[..., -1, :, :]

    def jacobian(self, q: Float[np.ndarray, "*batch joint"]) -> Float[np.ndarray, "*batch 6 joint"]:
        """Velocity of the flange per joint speed, in base axes: three rows [m/rad], then three of rotation [1]."""
        frames = self.tree.forward(q)
        axes = np.einsum("...jab,jb->...ja", frames[..., :3, :3], self.tree.axis)
        arm = frames[..., -1:, :3, 3] - frames[..., :, :3, 3]
        return np.swapaxes(np.concatenate([np.cross(axes, arm), axes], axis=-1), -1, -2)


def load_arm(variant: str | None = None, name: str | Path = "rm75") -> Arm:
    """Load an arm from its table.

    Args:
        variant: a name under `flange_y_m` of the table ("RM75-6F"…); the table's default when None.
        name: a shipped table, or the path of one's own.

    Raises:
        UnknownName: no such table or variant.
        BadInput: the table isn't whole.
    """
    table = find_table("arm", name)
    try:
        variants = table["flange_y_m"]
        variant = table["default_variant"] if variant is None else variant
        if variant not in variants:
            raise UnknownName("arm variant", variant, variants)
        rows = [{**row, "velocity_rad_s": np.deg2rad(min(row["speed_deg_s"].values()))} for row in table["joints"]]
        rows[-1] = {**rows[-1], "xyz_m": [rows[-1]["xyz_m"][0], variants[variant], rows[-1]["xyz_m"][2]]}
        low, high = intersected(rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"The arm table {name} is not whole: {error} is missing or malformed.") from error
    return Arm(variant, KinematicTree.from_rows(rows, low, high))


def intersected(rows: list[dict]) -> tuple[Float[np.ndarray, " joint"], Float[np.ndarray, " joint"]]:
    """Lower and upper limits [rad] that every source under `limits_deg` allows.

    Raises:
        BadInput: the sources of a joint have nothing in common.
    """
    low = np.deg2rad([max(pair[0] for pair in row["limits_deg"].values()) for row in rows])
    high = np.deg2rad([min(pair[1] for pair in row["limits_deg"].values()) for row in rows])
    if not (low < high).all():
        name = rows[int(np.argmin(low < high))]["name"]
        raise BadInput(f"The limits of {name} have nothing in common; correct limits_deg in its table.")
    return low, high
