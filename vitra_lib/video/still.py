"""Reading one picture from a file: upright, RGB, eight bits, whatever mode it was stored in."""

import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vitra_lib.core.errors import BadInput

MIN_SIDE_PX = 16
_MODES = "1, L, LA, P, PA, RGB, RGBA, CMYK, YCbCr, LAB, HSV, and 16 bits per channel"


def read_still(path: str | Path) -> UInt8[np.ndarray, "height width 3"]:
    """Read a picture as a person sees it.

    The camera's note on how it was held (EXIF) is applied before anything is measured. Transparent places become white,
    palettes and CMYK become RGB, 16-bit values keep their upper eight bits; of an animation the first frame is taken.

    Args:
        path: JPEG, PNG, WebP, TIFF, or another format that Pillow reads.

    Returns:
        (height, width, 3) RGB.

    Raises:
        BadInput: not there, not a picture, cut short, too small, too large, or of floating-point numbers.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    if not path.is_file():
        raise BadInput(f"There is no picture {path}; give the path of a JPEG or PNG file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                opened.load()
                upright = ImageOps.exif_transpose(opened)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise BadInput(
            f"{path.name} has more pixels than a camera gives; shrink it to at most 80 megapixels."
        ) from None
    except UnidentifiedImageError:
        raise BadInput(f"{path.name} is no picture that can be read; give a JPEG or PNG file.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadInput(f"{path.name} is damaged or cut short ({error}); copy it again.") from None
    if min(upright.size) < MIN_SIDE_PX:
        width, height = upright.size
        raise BadInput(f"{path.name} has {width} x {height} pixels; the shorter side needs at least {MIN_SIDE_PX}.")
    return _eight_bit_rgb(upright, path.name)


def _eight_bit_rgb(picture: object, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels in RGB."""
    from PIL import Image

    mode = picture.mode
    if mode == "F":
        raise BadInput(f"{name} holds floating-point numbers, whose range nobody states; save it as one of: {_MODES}.")
    if mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise BadInput(f"{name} holds whole numbers from {values.min()} to {values.max()}; legal are 16 bits.")
        grey = (values >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        colours = picture.convert("RGBA")
        white = Image.new("RGBA", colours.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, colours).convert("RGB"))
    return np.array(picture.convert("RGB"))
