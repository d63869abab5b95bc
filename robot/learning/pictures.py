"""Pictures of what fine-tuning rests on: which human joint drives which of the robot's, and what a sample holds."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from robot.hand.table import AXES, RobotHand
from vitra_lib.dataset.action_space import ActionSpace
from vitra_lib.dataset.sample import Sample
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand
from vitra_lib.hands.skeleton import BONES, JOINT21_OF_MANO16, MANO_JOINTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CM = 100.0
_FINGER_COLOURS = {
    "thumb": "val", "index": "right", "middle": "ours", "ring": "left", "pinky": "control",
}  # fmt: skip


def draw_mapping(hand: RobotHand) -> "Figure":
    """Two flat hands side by side in the axes of the wrist: joints with one number belong together.

    On the left the human hand; a filled joint drives joints of the robot, an open one drives nothing. On the right the
    robot's hand with its joints, under the same numbers.

    Args:
        hand: the robot's, a right one for a picture that looks like a right hand.
    """
    from vitra_lib.plotting.style import colour_of, new_figure, styled

    figure = new_figure(9.0, 4.6)
    with styled():
        human, robot = figure.subplots(1, 2)
    places = _on_paper(human_joints(hand))
    for first, second in BONES:
        human.plot(*places[[first, second]].T, color=colour_of("reported"), linewidth=1.0, zorder=1)
    for number, name in enumerate(MANO_JOINTS):
        place, drives = places[JOINT21_OF_MANO16[number + 1]], np.flatnonzero(hand.human_joint == number)
        colour = colour_of(_FINGER_COLOURS[name.rstrip("123")])
        _dot(human, place, colour, bool(len(drives)))
        if len(drives):
            signs = ["+" if hand.human_sign[joint] > 0 else "−" for joint in drives]
            said = "  ".join(
                f"{joint}: {sign}{AXES[hand.human_axis[joint]]}" for joint, sign in zip(drives, signs, strict=True)
            )
            on_left = name.rstrip("123") in ("ring", "pinky")
            shift, side = ((-5, 4), "right") if on_left else ((5, 4), "left")
            human.annotate(said, place, xytext=shift, textcoords="offset points", fontsize=8, ha=side)
    origins = _on_paper(robot_joints(hand))
    tips = _on_paper(np.einsum("ab,fb->fa", hand.R_mount_base, hand.tips(np.zeros(len(hand)))))
    for joint in range(len(hand)):
        parent = hand.tree.parent[joint]
        start = origins[parent] if parent >= 0 else np.zeros(2)
        robot.plot(*np.stack([start, origins[joint]]).T, color=colour_of("reported"), linewidth=1.0, zorder=1)
    for joint, tip in zip(hand.tip_joint, tips, strict=True):
        robot.plot(*np.stack([origins[joint], tip]).T, color=colour_of("reported"), linewidth=1.0, zorder=1)
    for joint, place in enumerate(origins):
        _dot(robot, place, colour_of(_FINGER_COLOURS[_finger(hand, joint)]), True)
        robot.annotate(str(joint), place, xytext=(5, 4), textcoords="offset points", fontsize=8)
    for ax, title in (
        (human, "human hand: number of the robot's joint, and axis"),
        (robot, f"{hand.name}: its joints"),
    ):
        ax.set_title(title, fontsize=9)
        ax.set_aspect("equal")
        ax.set_xlim(-8.0, 17.0)
        ax.set_ylim(-1.5, 22.0)
        ax.set_xlabel("wrist z [cm]")
        ax.set_ylabel("towards the fingers, wrist −x [cm]" if hand.side == "right" else "wrist x [cm]")
    return figure


def draw_sample(sample: Sample) -> "Figure":
    """All numbers of a sample's action in the policy's places, grey where masked.

    Args:
        sample: of a robot or a human.
    """
    from vitra_lib.plotting.samples import plot_action

    space = ActionSpace("angle")
    parts = {name: space.slices[name] for name in ("left_6d", "left_fingers", "right_6d", "right_fingers")}
    return plot_action(
        sample.action[:, : space.action_dim].astype(float), sample.action_mask[:, : space.action_dim], parts
    ).figure


def human_joints(hand: RobotHand) -> Float[np.ndarray, "21 3"]:
    """Joints of the stand-in's flat hand of the same side, in the axes of its wrist [m]."""
    flat = np.broadcast_to(np.eye(3), (1, 15, 3, 3)).copy()
    return pose_hand(
        load_hand_model("standin"), hand.side, np.eye(3)[None], np.zeros((1, 3)), flat, np.zeros(10)
    )[1][0]  # fmt: skip


def robot_joints(hand: RobotHand) -> Float[np.ndarray, "joint 3"]:
    """Origins of the robot's joints at zero angles, in the axes of the wrist [m]."""
    origins = hand.tree.forward(np.zeros(len(hand)))[:, :3, 3]
    return np.einsum("ab,jb->ja", hand.R_mount_base, origins)


def _on_paper(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Seen from the back of the hand, fingers up [cm]."""
    return _CM * np.stack([points[:, 2], -points[:, 0]], axis=1)


def _finger(hand: RobotHand, joint: int) -> str:
    return MANO_JOINTS[hand.human_joint[joint]].rstrip("123")


def _dot(ax: "Axes", place: np.ndarray, colour: str, is_filled: bool) -> None:
    ax.plot(*place, "o", color=colour, markerfacecolor=colour if is_filled else "white", markersize=7, zorder=2)
