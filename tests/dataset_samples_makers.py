"""Small episodes with everything known for the tests of training samples, and the official numbers where present."""

import json
from pathlib import Path

import numpy as np
import pytest
from episodes_makers import make_captions, make_reconstruction

from vitra_lib.dataset import EpisodeArrays, LabelBatch, SampleConfig, make_label_batch
from vitra_lib.dataset.draws import N_DRAWS
from vitra_lib.episodes import Episode, build_episodes, read_official

OFFICIAL = "vitra_ego4d_episode/Ego4D_03cc49c3-a7d1-445b-9a2a-545c4fae6843_ep_example.npy"


def make_episode(number: int = 0, seed: int = 0) -> Episode:
    """25 frames, primary hand right; the left one is lost in [10, 14) and has a sentence from frame 5 on."""
    return build_episodes(make_reconstruction(seed=seed), make_captions())[0][number]


def official_episode(shared_data: Path) -> Episode:
    """The official example."""
    return read_official(shared_data / OFFICIAL, fps=30.0)


def official_numbers(shared_data: Path) -> dict:
    """What the official code gives for it."""
    path = shared_data.parent / "goldens" / "vitra_golden.json"
    if not path.is_file():
        pytest.skip("The golden numbers of the official code are not on this machine.")
    return json.loads(path.read_text())["dataset_example"]


def labels_at(
    episode: Episode, frames: list[int], config: SampleConfig | None = None, u: np.ndarray | None = None, **kwargs
) -> LabelBatch:
    """The labels at some frames; every choice falls on the first possibility unless `u` says otherwise."""
    u = np.zeros((len(frames), N_DRAWS)) if u is None else u
    arrays = EpisodeArrays.of(episode)
    return make_label_batch(arrays, np.zeros(len(frames), int), np.array(frames), u, config or SampleConfig(**kwargs))
