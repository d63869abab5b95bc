"""The package dex-retargeting as an alternative optimiser, on a robot description made from our own table.

Its position mode is used with its own settings and without its low-pass filter, on the same targets as ours.
"""

import tempfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation
from tqdm import tqdm

from robot.hand.table import RobotHand
from vitra_lib.core.errors import MissingAsset


def hand_urdf(hand: RobotHand) -> str:
    """A robot description of a hand: its joints and finger tips, without meshes; links are named after their joints."""
    lines = [f"<robot name={quoteattr(hand.name)}>", '<link name="base"/>']
    for i, name in enumerate(hand.tree.names):
        T, axis = hand.tree.T_parent_joint[i], hand.tree.axis[i]
        parent = "base" if hand.tree.parent[i] < 0 else f"link_{hand.tree.names[hand.tree.parent[i]]}"
        limits = f'lower="{hand.tree.lower[i]:.9g}" upper="{hand.tree.upper[i]:.9g}"'
        lines += _joint(name, "revolute", parent, f"link_{name}", T)
        lines += [f'<axis xyz="{_numbers(axis)}"/>', f'<limit {limits} effort="1" velocity="{hand.tree.velocity[i]}"/>']
        lines += ["</joint>"]
    for finger, joint, offset in zip(hand.fingers, hand.tip_joint, hand.tip_offset_m, strict=True):
        T = np.eye(4)
        T[:3, 3] = offset
        lines += [*_joint(f"{finger}_tip", "fixed", f"link_{hand.tree.names[joint]}", f"tip_{finger}", T), "</joint>"]
    return "\n".join([*lines, "</robot>"]) + "\n"


def dex_retarget(
    tips_base: Float[np.ndarray, "time finger 3"],
    is_valid: Bool[np.ndarray, " time"],
    hand: RobotHand,
    progress: bool = False,
) -> Float[np.ndarray, "time joint"]:
    """Joint angles that bring the tips to their targets, frame after frame; zero where invalid.

    Raises:
        MissingAsset: the package is not installed.
    """
    try:
        from dex_retargeting.retargeting_config import RetargetingConfig
    except ImportError as error:
        raise MissingAsset(
            "The method 'dex' needs the package dex-retargeting (MIT): pip install dex-retargeting; "
            "or use the method 'tips', which needs nothing."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hand.urdf"
        path.write_text(hand_urdf(hand), encoding="utf-8")
        solver = RetargetingConfig(
            type="position",
            urdf_path=str(path),
            target_joint_names=list(hand.tree.names),
            target_link_names=[f"tip_{finger}" for finger in hand.fingers],
            target_link_human_indices=np.arange(len(hand.fingers)),
            low_pass_alpha=1.0,
        ).build()
    order = [list(solver.joint_names).index(name) for name in hand.tree.names]
    q = np.zeros((len(is_valid), len(hand)))
    for frame in tqdm(np.flatnonzero(is_valid), disable=not progress, desc="dex-retargeting"):
        q[frame] = solver.retarget(tips_base[frame])[order]
    return hand.tree.clip(q)


def _joint(name: str, kind: str, parent: str, child: str, T: np.ndarray) -> list[str]:
    rpy = Rotation.from_matrix(T[:3, :3]).as_euler("xyz")
    return [
        f"<link name={quoteattr(child)}/>",
        f'<joint name={quoteattr(name)} type="{kind}">',
        f"<parent link={quoteattr(parent)}/><child link={quoteattr(child)}/>",
        f'<origin xyz="{_numbers(T[:3, 3])}" rpy="{_numbers(rpy)}"/>',
    ]


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.12g}" for value in values)
