"""What a cheap camera adds to a clean picture: blur, noise, white balance, vignetting, JPEG; repeatable from a seed."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from vitra_lib.core.errors import BadInput


@dataclass(frozen=True)
class PostConfig:
    """Strength of each effect; the defaults switch everything off.

    Attributes:
        blur_sigma_px: Gaussian blur of the lens [px].
        noise_std: sensor noise of a mid-grey pixel, in 8-bit steps; brighter pixels get more.
        vignetting: relative darkening in the corners, 0..1.
        white_balance: gain of red, green, blue.
        jpeg_quality: 1..100, or None for no compression.
        seed: of the noise.
    """

    blur_sigma_px: float = 0.0
    noise_std: float = 0.0
    vignetting: float = 0.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    jpeg_quality: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise BadInput(f"jpeg_quality must lie in 1..100 or be None, not {self.jpeg_quality}.")
        if self.blur_sigma_px < 0 or self.noise_std < 0 or not 0 <= self.vignetting <= 1:
            raise BadInput("blur_sigma_px and noise_std must not be negative, and vignetting must lie in 0..1.")


def apply_camera_effects(
    image: UInt8[np.ndarray, "height width 3"], config: PostConfig
) -> UInt8[np.ndarray, "height width 3"]:
    """Degrade a clean picture as a small camera would.

    Args:
        image: (h, w, 3) RGB.
        config: strengths and seed.

    Returns:
        (h, w, 3) RGB, a new array.
    """
    picture = image.astype(np.float32)
    if config.blur_sigma_px > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), config.blur_sigma_px)
    picture *= np.array(config.white_balance, np.float32)
    if config.vignetting > 0:
        height, width = image.shape[:2]
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None]
        picture *= (1.0 - config.vignetting * 0.5 * (x * x + y * y))[..., None]
    if config.noise_std > 0:
        rng = np.random.default_rng(config.seed)
        noise = rng.standard_normal(picture.shape, dtype=np.float32)
        picture += noise * config.noise_std * np.sqrt(0.3 + 1.4 * np.clip(picture, 0, 255) / 255.0)
    result = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    if config.jpeg_quality is not None:
        bgr = np.ascontiguousarray(result[..., ::-1])
        _, code = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality])
        result = np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])
    return result
