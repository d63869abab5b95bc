"""Does a label belong to its video? Frame numbers, the shape of the image, and where the hands fall in it.

Labels and videos come from different places, and a video that was cut, cropped or undistorted in another way gives no
error later, only wrong training data. What can be told without looking at pictures is told here.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from vitra_lib.contracts.hand_track import SIDES, Side
from vitra_lib.episodes.episode import Episode
from vitra_lib.hands.skeleton import PALM_JOINTS

_NEAREST_M = 0.05


@dataclass(frozen=True)
class MismatchConfig:
    """What counts as another video than the labelled one.

    Attributes:
        max_aspect_error: relative difference between the shapes of video and labelled image. The released example is
            2 % off (480 x 368 for 1440 x 1080), since encoders want even sizes; another crop is 10 % off and more.
        margin: how far outside the image a palm may be and still count as inside, as a share of the image's size;
            hands leave the image for moments, and their track goes on.
        min_inside: least share of a hand's valid frames in which its palm is inside.
    """

    max_aspect_error: float = 0.05
    margin: float = 0.25
    min_inside: float = 0.5


@dataclass(frozen=True)
class Mismatch:
    """One thing that does not fit.

    Attributes:
        reason: "frames_outside_video", "size_mismatch" or "hands_outside_image".
        detail: what was found and what was expected.
    """

    reason: str
    detail: str


def find_mismatches(
    episode: Episode, frame_count: int, width_px: int, height_px: int, config: MismatchConfig | None = None
) -> tuple[Mismatch, ...]:
    """Compare an episode's labels with its video.

    Args:
        episode: the labels.
        frame_count: frames of the video.
        width_px, height_px: size of its image, before any resizing that keeps the shape.
        config: thresholds.

    Returns:
        what does not fit; empty when all is well.
    """
    config = config or MismatchConfig()
    found = []
    first, last = int(episode.source_frame.min()), int(episode.source_frame.max())
    if first < 0 or last >= frame_count:
        detail = f"needs frames {first} to {last}, but its video has {frame_count}"
        found.append(Mismatch("frames_outside_video", detail))
    labelled = float(episode.crop_px[2] / episode.crop_px[3])
    shown = width_px / height_px
    if abs(shown / labelled - 1) > config.max_aspect_error:
        detail = (
            f"the video is {width_px} x {height_px}, but its labels are for an image "
            f"{episode.crop_px[2]:.0f} x {episode.crop_px[3]:.0f}: another crop, or another video"
        )
        found.append(Mismatch("size_mismatch", detail))
    for side in SIDES:
        valid = episode.hand(side).is_valid
        if not valid.any():
            continue
        inside = float(palm_is_inside(episode, side, config.margin)[valid].mean())
        if inside < config.min_inside:
            detail = f"the {side} palm falls into the image in only {inside:.0%} of its {int(valid.sum())} valid frames"
            found.append(Mismatch("hands_outside_image", detail))
    return tuple(found)


def palm_is_inside(episode: Episode, side: Side, margin: float) -> Bool[np.ndarray, " time"]:
    """Whether the palm's middle is in front of the camera and in the (widened) image; False where unknown.

    Args:
        episode: the labels.
        side: the hand.
        margin: how much wider the image is taken on each side, as a share of its size.
    """
    palm = episode.joints_cam(side)[:, list(PALM_JOINTS)].mean(1)
    uv = project_unit(episode, palm)
    with np.errstate(invalid="ignore"):
        inside = (uv > -margin).all(1) & (uv < 1 + margin).all(1)
        return inside & (palm[:, 2] > _NEAREST_M)


def project_unit(episode: Episode, points_cam: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
    """Pixels as shares of the shown image: (0, 0) is its upper left corner, (1, 1) its lower right one."""
    K = episode.K_for(1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        flat = points_cam / points_cam[:, 2:]
        return (flat @ K.T)[:, :2]
