"""The offline captioner: what geometry alone can say. It names no object and is labelled weak everywhere.

It stands in for a vision-language model where there is none; a policy trained on its sentences learns motion
words, not objects.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float

from vitra_lib.captioning.answer import Answer
from vitra_lib.captioning.task import CaptionTask
from vitra_lib.contracts import Reconstruction, Segment
from vitra_lib.geometry.rotations import log
from vitra_lib.geometry.transforms import apply

_ACROSS = ("to the left", "to the right")
_UPRIGHT = ("up", "down")
_DEPTH = ("closer", "away")
_MIN_SHARE = 0.5  # an axis is named when it carries at least this share of the largest axis
_SHOULDERS_CAM_M = np.array([0.0, 0.3, 0.0])  # about where the arms begin, seen from a camera on the head
_REACH_SHARE = 0.6  # a move whose distance to the shoulders changes by this share of its length reaches or retracts
_GRIP_CHANGE_RAD = 0.25  # mean change of finger flexion that counts as opening or closing
_MIN_MOVE_M = 0.03
_MIN_TURN_RAD = np.deg2rad(25.0)
_VIEWED_SHARE = 0.8  # a turn mostly about the viewing axis looks clockwise or counterclockwise


class MotionCaptioner:
    """Describes reach, retreat and direction, opening or closing of the fingers, and turning of the wrist."""

    name = "motion-only"
    is_weak = True
    needs_images = False

    def answers(self, tasks: Iterable[CaptionTask]) -> Iterator[tuple[int, Answer]]:
        """Describe segments, in order."""
        for position, task in enumerate(tasks):
            yield position, describe_motion(task.reconstruction, task.segment)


def describe_motion(reconstruction: Reconstruction, segment: Segment) -> Answer:
    """One sentence on the motion of one segment, from the hand's track alone.

    Directions are those of the camera at the segment's first valid frame, which is where the person looks. The camera
    is taken to sit at the head: a hand that gets further from the shoulders reaches, one that comes nearer retracts.
    """
    hand = reconstruction.hand(segment.side)
    valid = segment.start + np.flatnonzero(hand.is_valid[segment.start : segment.stop])
    if len(valid) < 2:
        return Answer("The hand is valid in fewer than two frames.", "", True)
    first, last = int(valid[0]), int(valid[-1])
    T_cam_world = reconstruction.camera.T_cam_world[first]
    start, stop = apply(T_cam_world, reconstruction.t_world_wrist(segment.side)[[first, last]])
    R_cam_wrist = T_cam_world[:3, :3] @ reconstruction.R_world_wrist(segment.side)[[first, last]]
    turn = log(R_cam_wrist[1] @ R_cam_wrist[0].T)
    grip = _flexion(hand.R_parent_joint[last]) - _flexion(hand.R_parent_joint[first])
    move, turned = stop - start, float(np.linalg.norm(turn))

    clauses = []
    if np.linalg.norm(move) >= _MIN_MOVE_M:
        clauses.append(_move_words(segment.side, start, stop))
    if turned >= _MIN_TURN_RAD:
        what = "the wrist" if clauses else f"the {segment.side} wrist"
        clauses.append(f"turn {what}{_turn_sense(turn)}")
    if abs(grip) >= _GRIP_CHANGE_RAD:
        verb = "close" if grip > 0 else "open"
        clauses.append(f"{verb} the fingers" if clauses else f"{verb} the {segment.side} hand")
    if not clauses:
        clauses = [f"keep the {segment.side} hand where it is"]
    think = (
        f"From geometry alone: the wrist moves ({move[0]:+.2f}, {move[1]:+.2f}, {move[2]:+.2f}) m in camera axes, "
        f"turns {np.rad2deg(turned):.0f} deg, and the fingers bend by {np.rad2deg(grip):+.0f} deg on average."
    )
    sentence = _listed(clauses)
    return Answer(think, sentence[0].upper() + sentence[1:] + ".", False)


def _move_words(side: str, start: Float[np.ndarray, "3"], stop: Float[np.ndarray, "3"]) -> str:
    """What a displacement between two points in camera axes is called."""
    move = stop - start
    further = float(np.linalg.norm(stop - _SHOULDERS_CAM_M) - np.linalg.norm(start - _SHOULDERS_CAM_M))
    if abs(further) < _REACH_SHARE * np.linalg.norm(move):
        return f"move the {side} hand {_listed(_directions(move, (_ACROSS, _UPRIGHT, _DEPTH)))}"
    aside = _directions(move, (_ACROSS, _UPRIGHT))
    if further > 0:
        return f"reach {_listed(['forward', *aside])} with the {side} hand"
    return f"retract the {side} hand{' ' + _listed(aside) if aside else ''}"


def _directions(move_cam: Float[np.ndarray, "3"], names: tuple[tuple[str, str], ...]) -> list[str]:
    """Words for those of the named axes that carry much of a displacement."""
    largest = np.abs(move_cam).max()
    pairs = zip(move_cam, names, strict=False)
    return [words[int(value > 0)] for value, words in pairs if abs(value) >= _MIN_SHARE * largest]


def _turn_sense(turn_cam: Float[np.ndarray, "3"]) -> str:
    """ " clockwise" or " counterclockwise" as the person sees it, "" where the turn is about another axis."""
    along = float(turn_cam[2] / np.linalg.norm(turn_cam))  # z points away from the eye: positive looks clockwise
    return "" if abs(along) < _VIEWED_SHARE else " clockwise" if along > 0 else " counterclockwise"


def _listed(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _flexion(R_parent_joint: Float[np.ndarray, "15 3 3"]) -> float:
    """Mean bend of the four fingers about their flexion axis (z) [rad]; the thumb bends otherwise and is left out."""
    return float(log(R_parent_joint[:12])[:, 2].mean())
