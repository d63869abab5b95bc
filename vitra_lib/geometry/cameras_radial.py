"""What all lens models share: odd radial polynomials, the angle up to which they are one-to-one, and their inverses."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

_GRID = 2048
_STEPS = 25

Planar = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Maps (n, 2) points to their images and the (n, 2, 2) derivatives there."""


def odd_polynomial(x: Float[np.ndarray, "*batch"], k: Float[np.ndarray, " terms"]) -> Float[np.ndarray, "*batch"]:
    """x (1 + k1 x^2 + k2 x^4 + …)."""
    squared, factor = x * x, np.ones_like(x)
    power = np.ones_like(x)
    for coefficient in k:
        power = power * squared
        factor = factor + coefficient * power
    return np.asarray(x * factor)


def odd_limit(k: Float[np.ndarray, " terms"], largest: float) -> float:
    """How far an odd polynomial keeps growing: its first turning point, at most `largest`.

    Beyond it two angles share one place in the image, and a lens can't be undone.
    """
    slope = np.concatenate([[1.0], k * np.arange(3, 2 * len(k) + 2, 2)])  # in powers of x^2
    roots = np.roots(slope[::-1])
    real = roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)].real
    return float(min(largest, np.sqrt(real.min()) if len(real) else largest))


def invert_odd(
    y: Float[np.ndarray, "*batch"], k: Float[np.ndarray, " terms"], limit: float
) -> Float[np.ndarray, "*batch"]:
    """x in [0, limit] with odd_polynomial(x) = y; NaN where there is none.

    Args:
        y: values of 0 or more.
        k: coefficients of x^3, x^5, …
        limit: end of the growing part, see `odd_limit`.
    """
    grid = np.linspace(0.0, limit, _GRID)
    values = odd_polynomial(grid, k)
    is_inside = y <= values[-1]
    x = np.asarray(np.interp(np.where(is_inside, y, 0.0), values, grid))
    derivative = k * np.arange(3, 2 * len(k) + 2, 2)
    for _ in range(4):  # from a table of 2048 places Newton is at machine precision after three steps
        slope = np.ones_like(x)
        power = np.ones_like(x)
        for coefficient in derivative:
            power = power * x * x
            slope = slope + coefficient * power
        x = np.asarray(np.clip(x - (odd_polynomial(x, k) - y) / np.maximum(slope, 1e-6), 0.0, limit))
    return np.asarray(np.where(is_inside, x, np.nan))


def invert_planar(forward: Planar, target: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """Points whose image under a map near the identity is `target` (Newton); NaN where it does not get there."""
    p = target.copy()
    for _ in range(_STEPS):
        image, J = forward(p)
        miss = target - image
        det = J[:, 0, 0] * J[:, 1, 1] - J[:, 0, 1] * J[:, 1, 0]
        det = np.where(np.abs(det) < 1e-9, 1e-9, det)
        step = np.stack(
            [
                (J[:, 1, 1] * miss[:, 0] - J[:, 0, 1] * miss[:, 1]) / det,
                (J[:, 0, 0] * miss[:, 1] - J[:, 1, 0] * miss[:, 0]) / det,
            ],
            axis=1,
        )
        length = np.linalg.norm(step, axis=1, keepdims=True)
        p = p + step * np.minimum(1.0, 0.5 / np.maximum(length, 1e-12))
        if np.nanmax(length, initial=0.0) < 1e-13:
            break
    image, _ = forward(p)
    is_there = np.linalg.norm(image - target, axis=1) < 1e-8
    return np.where(is_there[:, None], p, np.nan)


def unit(v: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Vectors of length 1."""
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def along_angle(
    direction: Float[np.ndarray, "*batch 2"], theta: Float[np.ndarray, "*batch"]
) -> Float[np.ndarray, "*batch 3"]:
    """Unit rays at an angle theta from the optical axis, turned towards a direction in the image plane."""
    r = np.linalg.norm(direction, axis=-1)
    away = direction / np.where(r < 1e-12, 1.0, r)[..., None]
    return np.concatenate([away * np.sin(theta)[..., None], np.cos(theta)[..., None]], axis=-1)
