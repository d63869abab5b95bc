"""Is the video the right way up, and seen with the wearer's eyes? What hands can tell, and what they can't.

Upside down. The wearer's arms come from below: in an egocentric video the wrist lies below the fingers nearly always;
turned by 180 degrees it lies above. One frame proves little (a hand that reaches for its own body points down), so the
verdict is over all sightings of a video.

Wrong sides. Seen with the wearer's eyes, the hand that looks like a right hand is on the right of the other. Where it
is on the left nearly always, the camera faces the person (a selfie), or the picture is turned: what this kit says
about left and right, and about the wearer's own motion, would then be wrong.

Mirrored. A mirror swaps both the looks of hands and their sides, so a mirrored egocentric video of a right-handed
person IS, for anything that looks at hands, one of a left-handed person. No method of this kit can tell it; a front
view that was mirrored is not found either. What can be told is said above; the rest the user must know
(`can_judge_mirror` is False). A mirror that the file's rotation metadata ask for is undone when the video is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.identity import HandDetections

_WRIST, _KNUCKLES = 0, [5, 9, 13, 17]
_SURE = 0.3


@dataclass(frozen=True)
class OrientationConfig:
    """When a picture is called wrong.

    Attributes:
        min_seen: sightings that a verdict needs.
        upside_down: mean upward pointing of hands (1 = all straight up, -1 = all straight down) below which the picture
            is called upside down.
        wrong_sides: share of frames with both hands in which they are on the wrong sides from which the view is called
            not the wearer's.
        least_apart: only hands this far apart count [widths of the frame].
    """

    min_seen: int = 15
    upside_down: float = -0.5
    wrong_sides: float = 0.9
    least_apart: float = 0.12

    def __post_init__(self) -> None:
        if self.min_seen < 1 or not -1 < self.upside_down < 0 or not 0.5 < self.wrong_sides <= 1:
            raise BadInput("OrientationConfig: legal are min_seen >= 1, -1 < upside_down < 0, 0.5 < wrong_sides <= 1.")


@dataclass(frozen=True)
class Orientation:
    """What the hands say.

    Attributes:
        is_upside_down, has_wrong_sides: the verdicts; False also where nothing could be said.
        upward: mean upward pointing, -1 to 1; NaN where too few hands were seen.
        wrong_sides: share of frames with both hands in which they are on the wrong sides; NaN where too few.
        reason: one sentence for a user; "" when nothing is wrong.
        can_judge_mirror: always False; see the module's text.
    """

    is_upside_down: bool
    has_wrong_sides: bool
    upward: float
    wrong_sides: float
    reason: str
    can_judge_mirror: bool = False

    @property
    def figures(self) -> dict[str, float]:
        """Named figures for the report."""
        return {"orientation_upward": self.upward, "orientation_wrong_sides": self.wrong_sides}


def judge_orientation(
    detections: Mapping[Side, HandDetections], width_px: int, config: OrientationConfig | None = None
) -> Orientation:
    """Judge a video by the hands seen in it.

    Args:
        detections: both hands of all frames.
        width_px: width of the frames the landmarks are in.
        config: thresholds.
    """
    config = config or OrientationConfig()
    pointing, sides = _pointing(detections), _sides(detections, width_px, config)
    upward = float(pointing.mean()) if len(pointing) >= config.min_seen else float("nan")
    wrong = float(sides.mean()) if len(sides) >= config.min_seen else float("nan")
    is_down = upward < config.upside_down
    is_wrong = wrong >= config.wrong_sides
    reason = ""
    if is_down:
        reason = (
            f"The video seems to be upside down: in {len(pointing)} sightings the hands come from above (they point up "
            f"by {upward:.2f}, where 1 is straight up); turn it by 180 degrees, or say that it is right."
        )
    elif is_wrong:
        reason = (
            f"The video doesn't seem to be seen with the wearer's eyes: where both hands are seen, the right one is "
            f"left of the other in {wrong:.0%} of {len(sides)} frames, as when the camera faces the person; say "
            "that it is right if it is."
        )
    return Orientation(bool(is_down), bool(is_wrong), upward, wrong, reason)


def _pointing(detections: Mapping[Side, HandDetections]) -> Float[np.ndarray, " sightings"]:
    """Upward part of the unit vector from wrist to knuckles, of every hand seen."""
    found = [np.zeros(0)]
    for hand in detections.values():
        points = hand.keypoints_px[hand.is_detected]
        along = points[:, _KNUCKLES].mean(axis=1) - points[:, _WRIST]
        length = np.linalg.norm(along, axis=1)
        found.append(-along[length > 0, 1] / length[length > 0])
    return np.concatenate(found)


def _sides(
    detections: Mapping[Side, HandDetections], width_px: int, config: OrientationConfig
) -> Float[np.ndarray, " frames"]:
    """1 where the hand that looks like a right one is left of the other, 0 where not; frames with two sure hands only.

    The score of a detection is the belief in its name by its looks alone, so a name that came from where the hand is
    does not count as a look.
    """
    left, right = detections["left"], detections["right"]
    with np.errstate(invalid="ignore"):
        apart = right.keypoints_px[..., 0].mean(axis=1) - left.keypoints_px[..., 0].mean(axis=1)
        belief = left.score + right.score - 1.0
        told = left.is_detected & right.is_detected & (np.abs(apart) >= config.least_apart * width_px)
        told &= np.abs(belief) >= _SURE
    return ((apart < 0) ^ (belief < 0))[told].astype(float)
