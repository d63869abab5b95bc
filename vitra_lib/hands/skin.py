"""Skin colour of the stand-in per vertex: tone, lighter palm, redder knuckles and finger tips, creases, nails.

The colour of a hand is part of what makes a picture of it believable; a single flat colour is not.
"""

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import UnknownName
from vitra_lib.hands import anthropometry as body
from vitra_lib.hands.model import HandModel
from vitra_lib.hands.skeleton import FINGERS, finger_joints

_TONES_SRGB: dict[str, tuple[int, int, int]] = {
    "porcelain": (236, 200, 182),
    "light": (224, 180, 155),
    "medium": (205, 155, 126),
    "olive": (186, 140, 108),
    "tan": (168, 118, 88),
    "brown": (132, 88, 64),
    "dark": (96, 64, 48),
}
SKIN_TONES: tuple[str, ...] = tuple(_TONES_SRGB)


def _linear(srgb: tuple[int, int, int]) -> np.ndarray:
    x = np.array(srgb) / 255.0
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def _value_noise(points: np.ndarray, cell_m: float, seed: int) -> np.ndarray:
    """Smooth noise in [-1, 1] at points in space."""
    q = points / cell_m
    base = np.floor(q).astype(np.int64)
    f = q - base
    f = f * f * (3 - 2 * f)
    total = np.zeros(len(points))
    for corner in np.ndindex(2, 2, 2):
        c = base + corner
        mixed = (c[:, 0] * 73856093) ^ (c[:, 1] * 19349663) ^ (c[:, 2] * 83492791) ^ (seed * 2654435761)
        mixed = (mixed ^ (mixed >> 13)) * 1274126177 % 4294967296
        weight = np.prod(np.where(corner, f, 1 - f), axis=1)
        total += weight * (mixed % 65536 / 32768.0 - 1.0)
    return total


def _bump(x: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 * (x / width) ** 2)


def _finger_marks(finger: str, vertices: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, ...]:
    """Per vertex: how much it is nail, reddened (knuckle, tip) and crease of one finger."""
    joints = body.rest_joints()
    ids = finger_joints(finger)
    radius = np.array(body.HALF_BREADTH_MM[finger]) * 1e-3
    dorsal = body.dorsal_axis(finger)
    nail, red, crease = (np.zeros(len(vertices)) for _ in range(3))
    facing = normals @ dorsal
    for k in (1, 2, 3):
        p, before = joints[ids[k]], joints[ids[k - 1]]
        axis = (p - before) / np.linalg.norm(p - before)
        offset = vertices - p
        along = offset @ axis
        near = np.linalg.norm(offset - along[:, None] * axis, axis=1) < 1.9 * radius[k]
        if k == 3:
            length = np.linalg.norm(p - before)
            side = np.abs(offset @ np.cross(axis, dorsal))
            on_nail = (along > -0.62 * length) & (along < -0.06 * length) & (side < 0.72 * radius[k]) & (facing > 0.45)
            nail[on_nail & near] = 1.0
            red += near * _bump(along + 0.2 * length, 0.5 * length) * 0.8 * (facing < 0.4)
        else:
            red += near * _bump(along, 0.006) * np.clip(facing, 0, 1)
            crease += near * _bump(along, 0.0018) * np.clip(-facing, 0, 1)
            crease += near * (_bump(along - 0.002, 0.0012) + _bump(along + 0.002, 0.0012)) * 0.5 * np.clip(facing, 0, 1)
    return nail, red, crease


def skin_albedo(model: HandModel, tone: str = "medium", seed: int = 0) -> Float[np.ndarray, "vert 3"]:
    """Linear RGB of every vertex of a hand model.

    Args:
        model: the hand whose mesh is coloured; a model without a known rest mesh gets the plain tone.
        tone: one of `SKIN_TONES`.
        seed: shifts the blotches.

    Returns:
        (vert, 3) linear albedo in [0, 1].

    Raises:
        UnknownName: unknown tone.
    """
    if tone not in _TONES_SRGB:
        raise UnknownName("skin tone", tone, SKIN_TONES)
    base = _linear(_TONES_SRGB[tone])
    if model.name != "standin":
        return np.tile(base, (int(model.faces.max()) + 1, 1))
    vertices, normals = model.rest_vertices, model.rest_normals
    nail, red, crease = (np.zeros(len(vertices)) for _ in range(3))
    for finger in FINGERS:
        marks = _finger_marks(finger, vertices, normals)
        nail, red, crease = np.maximum(nail, marks[0]), red + marks[1], crease + marks[2]
    hand = np.clip((model.rest_joints(np.zeros(10))[0, 0] + 0.01 - vertices[:, 0]) / 0.02, 0.0, 1.0)
    palmar = np.clip(-normals[:, 1] * 1.6, 0.0, 1.0) * hand
    # A palm has little pigment: on dark skin it is much lighter than the back, on light skin hardly.
    palm_colour = 0.45 * base + 0.55 * _linear((226, 172, 150))
    colour = base + palmar[:, None] * (palm_colour - base)
    blotch = 0.05 * _value_noise(vertices, 0.016, seed) + 0.04 * _value_noise(vertices, 0.006, seed + 1)
    colour = colour * (1 + blotch[:, None] * np.array([0.7, 1.0, 1.0]))
    red = np.clip(red, 0, 1)[:, None]
    colour = colour * (1 - red * np.array([0.06, 0.17, 0.15]))
    colour = colour * (1 - 0.28 * np.clip(crease, 0, 1)[:, None])
    nail_colour = 0.55 * base + 0.45 * _linear((238, 192, 178))
    colour = colour + nail[:, None] * (nail_colour - colour)
    return np.clip(colour, 0.0, 1.0)
