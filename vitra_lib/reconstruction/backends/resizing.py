"""How DROID-SLAM and its descendants shrink frames: to a fixed area, then cropped to multiples of eight pixels."""

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.video import VideoInfo

AREAS = (384 * 512, 384 * 517)
"""MegaSaM and DROID-SLAM work at 384 x 512 pixels, DroidCalib at 384 x 517."""


def droid_lens(values: Float[np.ndarray, " values"], work_size: tuple[int, int], info: VideoInfo, tool: str) -> Pinhole:
    """Intrinsics in pixels of the video from those of the tool's small, cropped frames.

    Args:
        values: (4,) fx, fy, cx, cy in pixels of the small frames.
        work_size: (width, height) of the small frames after the crop.
        info: the video.
        tool: its name, for messages.

    Raises:
        BadInput: the small frames can't come from this video.
    """
    for area in AREAS:
        shrink = np.sqrt(area / (info.width_px * info.height_px))
        width, height = int(info.width_px * shrink), int(info.height_px * shrink)
        if (width - width % 8, height - height % 8) == tuple(work_size):
            fx, fy, cx, cy = values / np.tile([width / info.width_px, height / info.height_px], 2)
            return Pinhole(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), info.width_px, info.height_px)
    raise BadInput(
        f"{tool} worked on frames of {work_size[0]} x {work_size[1]} pixels, which don't come from this video of "
        f"{info.width_px} x {info.height_px}: are the results of another video?"
    )
