"""The random numbers of one training sample: a row of uniform numbers with named places, from a counter.

Every choice that a sample makes reads its own place, so that a sample is the same whether it is made alone or in a
batch, in whatever order and by whichever process. The geometric places stand in the order in which the official sampler
asks for them.
"""

import numpy as np
from jaxtyping import Float, Int

PLACES = (
    "fov",
    "centre_x",
    "centre_y",
    "roll",
    "flip",
    "aspect",
    "other_caption",
    "main_text",
    "other_text",
    "none",
    "state_dropout",
    "colour",
    "brightness",
    "contrast",
    "saturation",
    "hue",
)
N_DRAWS = len(PLACES)
PLACE = {name: number for number, name in enumerate(PLACES)}
VIEW = slice(0, 5)
COLOUR = slice(PLACE["colour"], PLACE["hue"] + 1)


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator of sample `index` in `epoch`: counter-based (Philox), so that no state is carried along."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, index]))


def draw(rng: np.random.Generator | np.random.RandomState) -> Float[np.ndarray, " draws"]:
    """(16,) uniform numbers in [0, 1) of one sample, from any generator of NumPy."""
    return rng.random(N_DRAWS) if isinstance(rng, np.random.Generator) else rng.random_sample(N_DRAWS)


def draw_many(seed: int, epoch: int, indices: Int[np.ndarray, " samples"]) -> Float[np.ndarray, "samples draws"]:
    """(samples, 16) the rows that `draw(sample_rng(seed, epoch, index))` gives for each index."""
    bits = np.random.Philox(key=[seed, epoch])
    rng, state = np.random.Generator(bits), bits.state
    rows = np.empty((len(indices), N_DRAWS))
    for row, index in zip(rows, indices.tolist(), strict=True):
        state["state"]["counter"][:] = (0, 0, 0, index)
        bits.state = state
        rng.random(out=row)
    return rows
