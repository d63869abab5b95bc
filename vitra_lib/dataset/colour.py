"""Colour changes of an image that leave the words about colours true (spec of the augmentation, 3.6)."""

import re
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from vitra_lib.core.errors import BadInput

COLOUR_WORDS = (
    "red green blue yellow orange purple pink black white gray grey brown cyan magenta gold silver beige maroon violet "
    "indigo turquoise navy olive teal lime ivory bluish reddish"
).split()
_NAMES_A_COLOUR = re.compile(rf"\b(?:{'|'.join(COLOUR_WORDS)})\b", re.IGNORECASE)


@dataclass(frozen=True)
class ColourConfig:
    """How far colours may change; each change is drawn evenly from both sides of none.

    Attributes:
        probability: how often an image is changed at all.
        brightness: largest amount added, as a share of full white.
        contrast: largest relative change of the distance from middle grey.
        saturation: largest relative change.
        hue: largest turn, as a share of half the colour circle.
        hue_named: the same where the caption names a colour.
    """

    probability: float = 0.8
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.4
    hue: float = 0.3
    hue_named: float = 0.04

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise BadInput(f"ColourConfig.{name} is {value}: it is a share in [0, 1].")


def names_a_colour(text: str) -> bool:
    """Whether a caption names a colour as a whole word ("red", not "scattered")."""
    return _NAMES_A_COLOUR.search(text) is not None


def change_colours(
    image: UInt8[np.ndarray, "height width 3"], caption: str, u: Float[np.ndarray, "5"], config: ColourConfig
) -> UInt8[np.ndarray, "height width 3"]:
    """The image in another light; a new array, or the same one where nothing changes.

    Args:
        image: RGB.
        caption: a caption that names a colour keeps the hue nearly as it is.
        u: (5,) uniform numbers in [0, 1): whether, brightness, contrast, saturation, hue.
        config: the limits.
    """
    if u[0] >= config.probability:
        return image
    swing = 2 * u[1:] - 1
    level = np.clip(np.arange(256) / 255 + config.brightness * swing[0], 0, 1)
    level = np.clip((level - 0.5) * (1 + config.contrast * swing[1]) + 0.5, 0, 1)
    hsv = cv2.cvtColor(cv2.LUT(image, (255 * level).astype(np.uint8)), cv2.COLOR_RGB2HSV)
    turn = 180 * swing[3] * (config.hue_named if names_a_colour(caption) else config.hue)  # OpenCV counts 2 degrees
    table = np.empty((1, 256, 3), np.uint8)
    step = np.arange(256)
    table[0, :, 0] = np.mod(step + turn, 180).astype(np.uint8)
    table[0, :, 1] = np.clip(step * (1 + config.saturation * swing[2]), 0, 255).astype(np.uint8)
    table[0, :, 2] = step
    return cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB)
