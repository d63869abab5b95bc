"""Left or right from landmarks: the tracker's own label, corrected by what egocentric views look like.

The tracker's label is right for about four in five hands that reach away from the camera; whether back or palm is
seen, where the fingers point, and where in the picture the hand is, tell much of the rest. A small perceptron, trained
on our own renders (`vitra lifter handedness`), weighs all of it. Mirroring the picture negates the answer exactly.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.identity import Sighting

WEIGHTS = Path(__file__).parent / "weights" / "handedness.npz"
FEATURES = 42 + 63 + 2 + 1
_PALM = [0, 5, 9, 13, 17]
_MIN_PROBABILITY = 1e-3


def features(
    keypoints_px: Float[np.ndarray, "n 21 2"],
    world_landmarks_m: Float[np.ndarray, "n 21 3"],
    right_probability: Float[np.ndarray, " n"],
    width_px: float,
    height_px: float,
) -> Float[np.ndarray, "n 108"]:
    """What the perceptron sees: shape in the image (free of place and size), tracker's 3-D, place, tracker's label.

    Args:
        keypoints_px: landmarks [px].
        world_landmarks_m: the tracker's own 3-D guess, camera axes [m].
        right_probability: the tracker's label as a probability.
        width_px, height_px: size of the picture [px].
    """
    palm = keypoints_px[:, _PALM].mean(axis=1)
    shape = keypoints_px - palm[:, None]
    shape = shape / np.maximum(np.sqrt((shape**2).sum(axis=2).mean(axis=1)), 1e-6)[:, None, None]
    place = (palm - 0.5 * np.array([width_px, height_px])) / width_px
    p = np.clip(right_probability, _MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
    label = np.log(p / (1 - p))[:, None] / 3
    n = len(keypoints_px)
    return np.concatenate([shape.reshape(n, -1), 10 * world_landmarks_m.reshape(n, -1), 2 * place, label], axis=1)


def mirrored(x: Float[np.ndarray, "n 108"]) -> Float[np.ndarray, "n 108"]:
    """Features of the mirrored picture."""
    y = x.copy()
    y[:, 0:42:2] *= -1
    y[:, 42:105:3] *= -1
    y[:, 105] *= -1
    y[:, 107] *= -1
    return y


def log_odds(layers: list[tuple[np.ndarray, np.ndarray]], x: Float[np.ndarray, "n 108"]) -> Float[np.ndarray, " n"]:
    """Log-odds of "right"; odd under mirroring by construction.

    Args:
        layers: (weight, bias) of each layer; SiLU between them.
        x: features.
    """

    def forward(h: np.ndarray) -> np.ndarray:
        for i, (weight, bias) in enumerate(layers):
            h = h @ weight + bias
            if i < len(layers) - 1:
                h = h / (1 + np.exp(-np.clip(h, -60, 60)))
        return h[:, 0]

    return 0.5 * (forward(x) - forward(mirrored(x)))


def relabel(sightings: list[Sighting], width_px: float | int, height_px: float | int) -> list[Sighting]:
    """The same sightings with the corrected probability of a right hand."""
    if not sightings:
        return []
    x = features(
        np.stack([s.keypoints_px for s in sightings]).astype(float),
        np.stack([s.world_landmarks_m for s in sightings]).astype(float),
        np.array([s.right_probability for s in sightings], float),
        float(width_px),
        float(height_px),
    )
    probability = 1 / (1 + np.exp(-np.clip(log_odds(_layers(), x), -30, 30)))
    return [replace(s, right_probability=float(p)) for s, p in zip(sightings, probability, strict=True)]


@lru_cache(maxsize=1)
def _layers() -> list[tuple[np.ndarray, np.ndarray]]:
    if not WEIGHTS.is_file():
        raise BadInput(f"{WEIGHTS.name} is missing from the package; `vitra lifter handedness --data DIR` makes it.")
    with np.load(WEIGHTS, allow_pickle=False) as file:
        layers = range(len(file.files) // 2)
        return [(file[f"w{i}"].astype(np.float64), file[f"b{i}"].astype(np.float64)) for i in layers]
