"""Batches of pictures with named things: what the seeing and the grounding stage read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from vitra_lib.core.errors import BadInput
from vitra_lib.pipeline.world_pictures import NamedPictures

_BELL_TOKENS = 0.6  # things are about a token wide; a wider bell asks tokens for things that they do not show


@dataclass(frozen=True, eq=False)
class PictureBatch:
    """Some pictures, and one question to each.

    Attributes:
        images: RGB.
        fov_rad: horizontal and vertical field of view [rad].
        places_cam: where the things stand, in the camera [m].
        sentences: per picture and thing the instruction that names it.
        asked: number of the thing that is asked for.
    """

    images: UInt8[np.ndarray, "batch height width 3"]
    fov_rad: Float[np.ndarray, "batch 2"]
    places_cam: Float[np.ndarray, "batch things 3"]
    sentences: tuple[tuple[str, ...], ...]
    asked: Int[np.ndarray, " batch"]

    def __len__(self) -> int:
        return len(self.images)


class PictureLoader:
    """An endless loader of pictures that knows its place: every picture once per pass.

    With `asks_all` a batch asks for every thing of its pictures, one row each, so that rows differ in nothing but the
    sentence and what follows from it. Otherwise there is one row per picture, and its first thing is asked for.
    """

    def __init__(self, pictures: NamedPictures, batch: int, seed: int, asks_all: bool = False) -> None:
        """
        Args:
            pictures: what there is.
            batch: rows at once.
            seed: of the order.
            asks_all: see above.

        Raises:
            BadInput: there are fewer pictures than a batch needs.
        """
        self._questions = pictures.places_cam.shape[1] if asks_all else 1
        self.pictures, self._batch, self._seed = pictures, max(1, batch // self._questions), seed
        if len(pictures) < self._batch:
            raise BadInput(f"There are {len(pictures)} pictures; a batch needs {self._batch}.")
        self._taken = 0

    def __iter__(self) -> Iterator[PictureBatch]:
        """Batches from where it stands, without end."""
        per_pass = len(self.pictures) // self._batch
        while True:
            turn, number = divmod(self._taken, per_pass)
            rng = np.random.default_rng([self._seed, turn])
            rows = rng.permutation(len(self.pictures))[number * self._batch : (number + 1) * self._batch]
            part = self.pictures.taken(np.repeat(rows, self._questions))
            asked = np.tile(np.arange(self._questions), len(rows))
            self._taken += 1
            yield PictureBatch(part.images, part.fov_rad, part.places_cam, part.sentences, asked)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"taken": self._taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go there."""
        self._taken = int(state["taken"])


def token_shares(
    places_m: Float[np.ndarray, "batch things 3"], fov_rad: Float[np.ndarray, "batch 2"], side: int, width: float
) -> tuple[Float[np.ndarray, "batch things tokens"], Bool[np.ndarray, "batch things"]]:
    """Which tokens of a picture show a place: a bell over the grid that sums to one.

    Args:
        places_m: points in the camera [m].
        fov_rad: field of view of the picture before it was made square [rad].
        side: tokens per side of the picture.
        width: deviation of the bell, in tokens.

    Returns:
        Shares, row by row of the picture, and whether the place is inside it.
    """
    depth = np.maximum(places_m[..., 2:], 1e-3)
    uv = 0.5 + 0.5 * places_m[..., :2] / depth / np.tan(0.5 * fov_rad)[:, None]
    centre = (np.arange(side) + 0.5) / side
    bell = np.exp(-0.5 * ((uv[..., None] - centre) * side) ** 2 / width**2)
    share = (bell[..., 1, :, None] * bell[..., 0, None, :]).reshape(*uv.shape[:-1], side * side)
    inside = (places_m[..., 2] > 0.05) & ((uv >= 0) & (uv < 1)).all(-1)
    return share / np.maximum(share.sum(-1, keepdims=True), 1e-12), inside


@dataclass(frozen=True, eq=False)
class PictureTargets:
    """What the stages compare with, as tensors.

    Attributes:
        shares: per thing how much each token of the picture shows it; sums to one, or to zero out of sight.
        places: where things stand, in deviations from the mean place.
    """

    shares: Float[Tensor, "batch things tokens"]
    places: Float[Tensor, "batch things 3"]

    @classmethod
    def of(
        cls, batch: PictureBatch, side: int, middle: Float[np.ndarray, "3"], scale: Float[np.ndarray, "3"]
    ) -> "PictureTargets":
        """The targets of a batch for pictures of `side` × `side` tokens, places in `scale` from `middle` [m]."""
        shares, inside = token_shares(batch.places_cam, batch.fov_rad, side, _BELL_TOKENS)
        places = (batch.places_cam - middle) / scale
        return cls(torch.from_numpy(shares * inside[..., None]).float(), torch.from_numpy(places).float())

    def to(self, device: torch.device | str) -> "PictureTargets":
        """The same on another device."""
        return PictureTargets(self.shares.to(device), self.places.to(device))
