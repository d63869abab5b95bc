"""Procedural textures: small tileable pictures made from a family name and a seed, so that splits can hold some out."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import UnknownName

TEXTURE_FAMILIES: tuple[str, ...] = (
    "wood", "planks", "checker", "tiles", "cloth", "marble", "speckle", "stripes", "noise", "plain",
)  # fmt: skip
_SIZE = 512
_MAX_REMAP = 16384


@dataclass(frozen=True)
class Texture:
    """A tileable picture of linear albedo.

    Attributes:
        pixels: (512, 512, 3) float32 linear RGB in [0, 1]; wraps around.
        tile_m: side length of one tile on the surface [m].
        name: "<family>:<seed>".
    """

    pixels: Float[np.ndarray, "size size 3"]
    tile_m: float
    name: str

    @cached_property
    def pyramid(self) -> tuple[np.ndarray, ...]:
        """The picture and its halves down to one pixel, for surfaces far away."""
        levels = [self.pixels]
        while len(levels[-1]) > 1:
            half = levels[-1]
            levels.append(0.25 * (half[::2, ::2] + half[1::2, ::2] + half[::2, 1::2] + half[1::2, 1::2]))
        return tuple(np.ascontiguousarray(level) for level in levels)

    def sample(
        self, uv_m: Float[np.ndarray, "point 2"], footprint_m: Float[np.ndarray, " point"]
    ) -> Float[np.ndarray, "point 3"]:
        """Look up albedo.

        Args:
            uv_m: (n, 2) position on the surface [m].
            footprint_m: (n,) size of a pixel on the surface [m]; picks the level of detail.

        Returns:
            (n, 3) float32 linear RGB.
        """
        level = np.log2(np.maximum(footprint_m * (_SIZE / self.tile_m), 1.0))
        level = np.minimum(np.rint(level), len(self.pyramid) - 1).astype(np.int8)
        result = np.empty((len(uv_m), 3), np.float32)
        turns = uv_m / np.float32(self.tile_m)
        turns = (turns - np.floor(turns)).astype(np.float32)
        for k in np.unique(level):
            rows = np.flatnonzero(level == k)
            picture = self.pyramid[k]
            for chunk in range(0, len(rows), _MAX_REMAP):
                part = rows[chunk : chunk + _MAX_REMAP]
                at = turns[part] * len(picture) - 0.5
                looked_up = cv2.remap(
                    picture, at[:, :1].copy(), at[:, 1:].copy(), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
                )
                result[part] = looked_up[:, 0]
        return result


def _tile_noise(rng: np.random.Generator, cells: tuple[int, int], octaves: int = 4, fall: float = 0.5) -> np.ndarray:
    """Tileable value noise in [0, 1]; `cells` = lattice cells (vertical, horizontal) of the coarsest octave."""
    total = np.zeros((_SIZE, _SIZE), np.float32)
    for k in range(octaves):
        rows, columns = min(cells[0] << k, _SIZE), min(cells[1] << k, _SIZE)
        lattice = rng.random((rows, columns), dtype=np.float32)
        padded = np.pad(lattice, 2, mode="wrap")
        y = (np.arange(_SIZE, dtype=np.float32) + 0.5) * rows / _SIZE + 1.5
        x = (np.arange(_SIZE, dtype=np.float32) + 0.5) * columns / _SIZE + 1.5
        map_x, map_y = np.meshgrid(x, y)
        total += fall**k * cv2.remap(padded, map_x, map_y, cv2.INTER_CUBIC)
    low, high = np.quantile(total, [0.01, 0.99])
    return np.clip((total - low) / (high - low), 0.0, 1.0)


def _mix(a: np.ndarray, b: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return a + (b - a) * weight[..., None]


def _colour(
    rng: np.random.Generator, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]
):
    h, s, v = rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value)
    hsv = np.array([[[h * 360.0, s, v]]], np.float32)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] ** 2.2


def _wood(rng: np.random.Generator) -> np.ndarray:
    base = _colour(rng, (0.055, 0.10), (0.30, 0.60), (0.45, 0.85))
    warp = _tile_noise(rng, (3, 1), 3)
    y = np.linspace(0, 1, _SIZE, endpoint=False, dtype=np.float32)[:, None]
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (int(rng.integers(6, 14)) * y + 2.5 * warp))
    grain = _tile_noise(rng, (128, 4), 2)
    tone = 0.55 * rings + 0.45 * grain
    return _mix(base * rng.uniform(0.45, 0.7), base, tone) * (0.85 + 0.3 * _tile_noise(rng, (2, 2), 3))[..., None]


def _planks(rng: np.random.Generator) -> np.ndarray:
    picture = _wood(rng)
    count = int(rng.choice([4, 8]))
    height = _SIZE // count
    for k in range(count):
        rows = slice(k * height, (k + 1) * height)
        picture[rows] = np.roll(picture[rows], int(rng.integers(_SIZE)), axis=1) * rng.uniform(0.75, 1.15)
        picture[k * height : k * height + 2] *= 0.35
        seam = int(rng.integers(_SIZE))
        picture[rows, seam : seam + 2] *= 0.4
    return picture


def _checker(rng: np.random.Generator) -> np.ndarray:
    n = int(rng.choice([4, 8]))
    index = np.arange(_SIZE) * n // _SIZE
    board = ((index[:, None] + index[None]) % 2).astype(np.float32)
    a, b = _colour(rng, (0.0, 1.0), (0.0, 0.5), (0.55, 0.95)), _colour(rng, (0.0, 1.0), (0.0, 0.6), (0.15, 0.6))
    return _mix(a, b, board) * (0.88 + 0.24 * _tile_noise(rng, (16, 16)))[..., None]


def _tiles(rng: np.random.Generator) -> np.ndarray:
    n = int(rng.choice([4, 8]))
    side = _SIZE // n
    shade = rng.uniform(0.85, 1.1, (n, n)).repeat(side, 0).repeat(side, 1).astype(np.float32)
    picture = _colour(rng, (0.0, 1.0), (0.0, 0.35), (0.5, 0.9)) * shade[..., None]
    picture = picture * (0.9 + 0.2 * _tile_noise(rng, (8, 8)))[..., None]
    at = np.arange(_SIZE) % side
    joint = (at < 3)[:, None] | (at < 3)[None]
    picture[joint] = _colour(rng, (0.0, 1.0), (0.0, 0.1), (0.4, 0.8))
    return picture


def _cloth(rng: np.random.Generator) -> np.ndarray:
    t = 2 * np.pi * int(rng.choice([32, 64])) * np.arange(_SIZE, dtype=np.float32) / _SIZE
    weave = 0.5 + 0.25 * (np.sin(t)[:, None] * np.sin(t + 1.3)[None]) + 0.12 * np.sin(t)[:, None]
    a, b = _colour(rng, (0.0, 1.0), (0.1, 0.6), (0.4, 0.9)), _colour(rng, (0.0, 1.0), (0.1, 0.7), (0.3, 0.8))
    band = np.zeros(_SIZE, np.float32)
    for _ in range(int(rng.integers(0, 4))):
        start, wide = int(rng.integers(_SIZE)), int(rng.integers(10, 60))
        band[np.arange(start, start + wide) % _SIZE] += 0.5
    plaid = np.clip(band[:, None] + (band[None] if rng.random() < 0.6 else 0.0), 0, 1) * np.ones(
        (_SIZE, _SIZE), np.float32
    )
    fold = 0.8 + 0.4 * _tile_noise(rng, (3, 3), 3)
    return _mix(a, b, plaid) * (0.7 + 0.6 * weave)[..., None] * fold[..., None]


def _marble(rng: np.random.Generator) -> np.ndarray:
    turbulence = np.abs(2 * _tile_noise(rng, (4, 4), 6, 0.6) - 1)
    vein = np.clip(1.0 - turbulence * rng.uniform(4, 8), 0, 1) ** 1.5
    base = _colour(rng, (0.0, 1.0), (0.0, 0.12), (0.65, 0.95))
    dark = _colour(rng, (0.0, 1.0), (0.05, 0.3), (0.25, 0.55))
    return _mix(base * (0.85 + 0.2 * _tile_noise(rng, (3, 3)))[..., None], dark, vein)


def _speckle(rng: np.random.Generator) -> np.ndarray:
    picture = _colour(rng, (0.0, 1.0), (0.0, 0.25), (0.4, 0.85)) * (0.9 + 0.2 * _tile_noise(rng, (4, 4)))[..., None]
    for _ in range(3):
        grains = _tile_noise(rng, (64, 64), 2)
        picture = _mix(picture, _colour(rng, (0.0, 1.0), (0.0, 0.3), (0.1, 0.95)), np.clip((grains - 0.72) * 12, 0, 1))
    return picture


def _stripes(rng: np.random.Generator) -> np.ndarray:
    t = np.arange(_SIZE, dtype=np.float32) / _SIZE
    wave = np.clip(4 * np.sin(2 * np.pi * int(rng.integers(4, 16)) * t), -1, 1) * 0.5 + 0.5
    stripes = np.broadcast_to(wave[:, None], (_SIZE, _SIZE)).astype(np.float32)
    a, b = _colour(rng, (0.0, 1.0), (0.0, 0.4), (0.5, 0.95)), _colour(rng, (0.0, 1.0), (0.1, 0.5), (0.2, 0.8))
    return _mix(a, b, stripes) * (0.88 + 0.24 * _tile_noise(rng, (24, 24)))[..., None]


def _noise(rng: np.random.Generator) -> np.ndarray:
    a, b = _colour(rng, (0.0, 1.0), (0.03, 0.35), (0.5, 0.95)), _colour(rng, (0.0, 1.0), (0.05, 0.4), (0.2, 0.6))
    return _mix(a, b, _tile_noise(rng, (6, 6), 6, 0.65))


def _plain(rng: np.random.Generator) -> np.ndarray:
    base = _colour(rng, (0.0, 1.0), (0.0, 0.5), (0.4, 0.92))
    return base * (0.93 + 0.14 * _tile_noise(rng, (4, 4), 7, 0.7))[..., None]


_MAKERS = {
    "wood": _wood, "planks": _planks, "checker": _checker, "tiles": _tiles, "cloth": _cloth, "marble": _marble,
    "speckle": _speckle, "stripes": _stripes, "noise": _noise, "plain": _plain,
}  # fmt: skip


@lru_cache(maxsize=64)
def make_texture(family: str, seed: int, tile_m: float = 0.5) -> Texture:
    """Make a texture; the same arguments give the same pixels.

    Args:
        family: one of `TEXTURE_FAMILIES`.
        seed: picks colours and pattern.
        tile_m: side length of one tile on the surface [m].

    Raises:
        UnknownName: unknown family.
    """
    if family not in _MAKERS:
        raise UnknownName("texture family", family, TEXTURE_FAMILIES)
    rng = np.random.default_rng([seed, TEXTURE_FAMILIES.index(family)])
    pixels = np.clip(_MAKERS[family](rng), 0.0, 1.0).astype(np.float32)
    pixels.setflags(write=False)
    return Texture(pixels, float(tile_m), f"{family}:{seed}")
