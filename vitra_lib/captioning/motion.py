"""The offline captioner: what geometry alone can say. It names no object and is labelled weak everywhere.

It stands in for a vision-language model where there is none; a policy trained on its sentences learns motion
words, not objects.
"""

import numpy as np

from vitra_lib.captioning.answer import Answer
from vitra_lib.captioning.overlay import OverlayFrame
from vitra_lib.contracts import Reconstruction, Segment
from vitra_lib.geometry.rotations import geodesic_angle, log

_DIRECTIONS = (("to the left", "to the right"), ("up", "down"), ("closer", "away"))
_MIN_SHARE = 0.5  # an axis is named when it carries at least this share of the largest axis
_GRIP_CHANGE_RAD = 0.25  # mean change of finger flexion that counts as opening or closing
_MIN_MOVE_M = 0.03
_MIN_TURN_RAD = np.deg2rad(25.0)


class MotionCaptioner:
    """Describes direction, opening or closing of the fingers, and turning of the wrist."""

    name = "motion-only"
    is_weak = True
    needs_images = False

    def answer(self, reconstruction: Reconstruction, segment: Segment, frames: tuple[OverlayFrame, ...]) -> Answer:
        """Describe one segment from the hand's track; `frames` are not looked at.

        Directions are those of the camera at the segment's first valid frame (left, right, up, down, closer, away).
        """
        hand = reconstruction.hand(segment.side)
        valid = segment.start + np.flatnonzero(hand.is_valid[segment.start : segment.stop])
        if len(valid) < 2:
            return Answer("The hand is valid in fewer than two frames.", "", True)
        first, last = int(valid[0]), int(valid[-1])
        R_cam_world = reconstruction.camera.T_cam_world[first, :3, :3]
        move = R_cam_world @ (reconstruction.t_world_wrist(segment.side)[last] - reconstruction.t_world_wrist(segment.side)[first])
        R_world_wrist = reconstruction.R_world_wrist(segment.side)
        turn = float(geodesic_angle(R_world_wrist[first], R_world_wrist[last]))
        grip = _flexion(hand.R_parent_joint[last]) - _flexion(hand.R_parent_joint[first])

        clauses = []
        if np.linalg.norm(move) >= _MIN_MOVE_M:
            clauses.append(f"move the {segment.side} hand {_direction_words(move)}")
        if turn >= _MIN_TURN_RAD:
            clauses.append("turn the wrist" if clauses else f"turn the {segment.side} wrist")
        if abs(grip) >= _GRIP_CHANGE_RAD:
            verb = "close" if grip > 0 else "open"
            clauses.append(f"{verb} the fingers" if clauses else f"{verb} the {segment.side} hand")
        if not clauses:
            clauses = [f"keep the {segment.side} hand where it is"]
        think = (
            f"From geometry alone: the wrist moves ({move[0]:+.2f}, {move[1]:+.2f}, {move[2]:+.2f}) m in camera axes, "
            f"turns {np.rad2deg(turn):.0f} deg, and the fingers bend by {np.rad2deg(grip):+.0f} deg on average."
        )
        sentence = _listed(clauses)
        return Answer(think, sentence[0].upper() + sentence[1:] + ".", False)


def _direction_words(move_cam: np.ndarray) -> str:
    """Words for the axes that dominate a camera-frame displacement."""
    largest = np.abs(move_cam).max()
    words = [names[int(value > 0)] for value, names in zip(move_cam, _DIRECTIONS, strict=True) if abs(value) >= _MIN_SHARE * largest]
    return _listed(words)


def _listed(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _flexion(R_parent_joint: np.ndarray) -> float:
    """Mean bend about the flexion axis (z) of the four fingers' joints [rad]; the thumb bends otherwise and is left out."""
    return float(log(R_parent_joint[:12])[:, 2].mean())
