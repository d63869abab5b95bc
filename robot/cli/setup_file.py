"""The file that says how a rig stands: camera, hand mount, table and box, as measured on the place.

    {"T_base_cam": [[…4 x 4…]], "T_flange_mount": [[…4 x 4…]], "table_z_m": -0.02,
     "box_lower_m": [-0.6, -0.6, 0.0], "box_upper_m": [0.6, 0.6, 0.8], "hand_table": "xhand"}

Transforms and the table's height are needed; the box is by default what lies over the table within reach.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.execution.policy_source import Setup
from robot.hand.table import load_hand
from robot.safety.config import SafetyConfig, table_scene
from robot.safety.geometry import Scene
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput

_KEYS = ("T_base_cam", "T_flange_mount", "table_z_m", "box_lower_m", "box_upper_m", "hand_table")
_BOX_LOWER_M, _BOX_UPPER_M = (-0.60, -0.60, 0.02), (0.60, 0.60, 0.85)
"""Over the table's surface."""


@dataclass(frozen=True, eq=False)
class RigSetup:
    """A rig as it stands.

    Attributes:
        setup: where camera and wrist are, and what shall be done.
        safety: limits with this rig's table, box and hand.
        hand_table: which table of joints and motor signs the hand has.
    """

    setup: Setup
    safety: SafetyConfig
    hand_table: str = "xhand"


def read_setup(path: Path, side: Side, instruction: str) -> RigSetup:
    """Read and check a file.

    Args:
        path: JSON.
        side: which arm and hand.
        instruction: what shall be done.

    Raises:
        BadInput: no such file, something needed is missing, unknown or not of the right form.
        UnknownName: no such hand table.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} is not a JSON file that describes a rig ({error}).") from error
    missing = [key for key in _KEYS[:3] if not isinstance(content, dict) or key not in content]
    unknown = [] if missing else sorted(set(content) - set(_KEYS))
    if missing or unknown:
        what = f"lacks {', '.join(missing)}" if missing else f"has the unknown entries {', '.join(unknown)}"
        raise BadInput(f"The rig's file {path} {what}; it holds {', '.join(_KEYS)}, the last three if they differ.")
    z = _numbers(content, "table_z_m", ())
    lower = _numbers(content, "box_lower_m", (3,), np.add(_BOX_LOWER_M, [0.0, 0.0, z]))
    upper = _numbers(content, "box_upper_m", (3,), np.add(_BOX_UPPER_M, [0.0, 0.0, z]))
    if not (lower < upper).all():
        raise BadInput(f"box_lower_m {lower.tolist()} of {path} is not below box_upper_m {upper.tolist()}.")
    setup = Setup(
        side, instruction, _numbers(content, "T_base_cam", (4, 4)), _numbers(content, "T_flange_mount", (4, 4))
    )
    table = str(content.get("hand_table", "xhand"))
    T_mount_hand = np.eye(4)
    T_mount_hand[:3, :3] = load_hand(table, side).R_mount_base
    scene = Scene(setup.T_flange_mount @ T_mount_hand, lower, upper, np.array([0.0, 0.0, 1.0]), float(z))
    return RigSetup(setup, SafetyConfig(side=side, scene=scene), table)


def example_setup(side: Side, instruction: str) -> RigSetup:
    """A rig for dry runs: the arm stands on its table, a camera looks down from behind it."""
    T_base_cam = np.array([[0, -0.6, 0.8, -0.1], [-1, 0, 0, 0], [0, -0.8, -0.6, 0.8], [0, 0, 0, 1]], float)
    safety = SafetyConfig(side=side, scene=table_scene())
    return RigSetup(Setup(side, instruction, T_base_cam, np.eye(4)), safety)


def _numbers(
    content: dict[str, Any], key: str, shape: tuple[int, ...], default: np.ndarray | None = None
) -> Float[np.ndarray, "..."]:
    """An entry as finite numbers of this shape.

    Raises:
        BadInput: it isn't.
    """
    if key not in content and default is not None:
        return default
    try:
        values = np.array(content[key], float)
    except (TypeError, ValueError):
        values = np.full(1, np.nan)
    if values.shape != shape or not np.isfinite(values).all():
        form = " x ".join(map(str, shape)) + " finite numbers" if shape else "one finite number"
        raise BadInput(f"{key} of the rig's file must be {form} in metres.")
    return values
