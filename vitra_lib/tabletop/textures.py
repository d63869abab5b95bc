"""Procedural textures: square RGB images that repeat without seams, painted from a name and a seed."""

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from vitra_lib.core.errors import UnknownName
from vitra_lib.tabletop.catalog import Surface

FAMILIES = (
    "plain",
    "wood",
    "check",
    "stripe",
    "dot",
    "speckle",
    "tile",
    "brick",
    "band",
    "plaid",
    "hexagon",
    "zigzag",
    "terrazzo",
)


def _noise(size: int, sigma_px: tuple[float, float], rng: np.random.Generator) -> Float[np.ndarray, "size size"]:
    """Periodic noise, zero mean, unit deviation."""
    n = gaussian_filter(rng.normal(size=(size, size)), sigma_px, mode="wrap")
    return (n - n.mean()) / n.std()


def _palette(index: np.ndarray, colours: tuple[tuple[int, int, int], ...]) -> Float[np.ndarray, "size size 3"]:
    return np.asarray(colours, float)[index % len(colours)]


def _spots(size: int, count: int, radius: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Index image: 0 = background, k = k-th spot; spots wrap round."""
    y, x = np.mgrid[:size, :size]
    index = np.zeros((size, size), int)
    for k in range(count):
        cx, cy = rng.uniform(0, size, 2)
        rx, ry = rng.uniform(*radius, 2)
        turn = rng.uniform(0, np.pi)
        dx, dy = (x - cx + size / 2) % size - size / 2, (y - cy + size / 2) % size - size / 2
        a, b = dx * np.cos(turn) + dy * np.sin(turn), -dx * np.sin(turn) + dy * np.cos(turn)
        index[(a / rx) ** 2 + (b / ry) ** 2 < 1] = k + 1
    return index


def paint(surface: Surface, seed: int, size_px: int = 512) -> UInt8[np.ndarray, "size size 3"]:
    """One seamless tile of a surface.

    Args:
        surface: family and colours; `surface.tile_m` of real surface are covered by the image.
        seed: of grain and irregularity.
        size_px: side of the image; a multiple of 64.

    Raises:
        UnknownName: the surface's family is not one of `FAMILIES`.
    """
    if surface.family not in FAMILIES:
        raise UnknownName("texture family", surface.family, FAMILIES)
    rng = np.random.default_rng([seed, FAMILIES.index(surface.family)])
    image = _PAINTERS[surface.family](surface.colours, size_px, rng)
    # Everything real is a little uneven: slow shade and fine grain give corners something to hold on to.
    shade = 1.0 + 0.035 * _noise(size_px, (size_px / 10, size_px / 10), rng) + 0.03 * _noise(size_px, (1.2, 1.2), rng)
    return np.clip(image * shade[..., None], 0, 255).round().astype(np.uint8)


def _plain(colours, n, rng):
    return np.broadcast_to(np.asarray(colours[0], float), (n, n, 3)).copy()


def _wood(colours, n, rng):
    planks = 4
    y, x = np.mgrid[:n, :n]
    plank = y // (n // planks)
    grain = _noise(n, (1.5, 40.0), rng) + 0.7 * np.sin(0.08 * y + 2.0 * _noise(n, (10.0, 60.0), rng))
    base = np.asarray(colours[0], float) + grain[..., None] * (np.asarray(colours[1], float) - colours[0]) * 0.28
    base += rng.uniform(-0.3, 0.3, planks)[plank][..., None] * (np.asarray(colours[2], float) - colours[0])
    joint = (y % (n // planks) < 3) | ((x + rng.integers(0, n, planks)[plank]) % n < 3)
    base[joint] = np.asarray(colours[1], float) * 0.7
    return base


def _check(colours, n, rng):
    y, x = np.mgrid[:n, :n]
    a, b = (x * 4 // n) % 2, (y * 4 // n) % 2
    return _palette(np.where(a + b == 2, 1, np.where(a + b == 1, 2, 0)), colours)


def _stripe(colours, n, rng):
    x = np.mgrid[:n, :n][1]
    edges = np.sort(rng.choice(np.arange(1, 16), 7, replace=False)) * n // 16
    return _palette(np.searchsorted(edges, x, side="right"), colours)


def _dot(colours, n, rng):
    y, x = np.mgrid[:n, :n]
    cell = n // 4
    row = y // cell
    dx, dy = (x + (row % 2) * cell // 2) % cell - cell / 2, y % cell - cell / 2
    inside = dx * dx + dy * dy < (0.28 * cell) ** 2
    column = ((x + (row % 2) * cell // 2) // cell) % 4
    kind = 1 + (column + row) % max(len(colours) - 1, 1)
    return _palette(np.where(inside, kind, 0), colours)


def _speckle(colours, n, rng):
    noise = _noise(n, (2.5, 2.5), rng) + 0.5 * _noise(n, (9.0, 9.0), rng)
    return _palette(np.where(noise > 1.0, 2, np.where(noise < -1.0, 1, 0)), colours)


def _tile(colours, n, rng):
    y, x = np.mgrid[:n, :n]
    cell = n // 4
    index = rng.uniform(-1, 1, (4, 4))[y // cell, x // cell]
    image = np.asarray(colours[0], float) + np.abs(index)[..., None] * (np.asarray(colours[2], float) - colours[0])
    image[(x % cell < 5) | (y % cell < 5)] = colours[1]
    return image


def _brick(colours, n, rng):
    y, x = np.mgrid[:n, :n]
    row = y // (n // 8)
    shifted = (x + (row % 2) * (n // 8)) % n
    tone = rng.uniform(0, 1, (8, 4))[row, shifted // (n // 4)]
    image = np.asarray(colours[0], float) + tone[..., None] * (np.asarray(colours[2], float) - colours[0])
    image[(y % (n // 8) < 6) | (shifted % (n // 4) < 6)] = colours[1]
    return image


def _band(colours, n, rng):
    v = np.mgrid[:n, :n][0] / n
    low = rng.uniform(0.25, 0.45)
    return _palette(((v > low) & (v < low + 0.3)).astype(int), colours)


def _plaid(colours, n, rng):
    y, x = np.mgrid[:n, :n]
    edges = np.sort(rng.choice(np.arange(1, 16), 6, replace=False)) * n // 16
    across, along = np.searchsorted(edges, x, side="right"), np.searchsorted(edges, y, side="right")
    return 0.5 * _palette(across, colours) + 0.5 * _palette(along, colours)


def _hexagon(colours, n, rng):
    y, x = np.mgrid[:n, :n] / n * 6.0
    centres = np.array([(i + 0.5 * (j % 2), j) for j in range(6) for i in range(6)], float)
    best, second, which = np.full((n, n), 9.0), np.full((n, n), 9.0), np.zeros((n, n), int)
    for k, (cx, cy) in enumerate(centres):
        d = np.hypot((x - cx + 3) % 6 - 3, (y - cy + 3) % 6 - 3)
        nearer = d < best
        second = np.where(nearer, best, np.minimum(second, d))
        which = np.where(nearer, k, which)
        best = np.where(nearer, d, best)
    image = _palette(rng.integers(0, len(colours) - 1, len(centres))[which], colours[:-1])
    image[second - best < 0.09] = colours[-1]
    return image


def _zigzag(colours, n, rng):
    y, x = np.mgrid[:n, :n] / n
    wave = np.abs((x * 4) % 1 - 0.5)
    return _palette(((y * 8 + wave * 2) % 8).astype(int), colours)


def _terrazzo(colours, n, rng):
    spots = _spots(n, 90, (n / 60, n / 18), rng)
    kind = np.concatenate([[0], rng.integers(1, len(colours), 90)])
    return _palette(kind[spots], colours)


_PAINTERS = {
    "plain": _plain,
    "wood": _wood,
    "check": _check,
    "stripe": _stripe,
    "dot": _dot,
    "speckle": _speckle,
    "tile": _tile,
    "brick": _brick,
    "band": _band,
    "plaid": _plaid,
    "hexagon": _hexagon,
    "zigzag": _zigzag,
    "terrazzo": _terrazzo,
}
