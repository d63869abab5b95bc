"""Training samples: action space, windows, augmentation, normalisation; their order, and the loader.

What needs torch (`TrainingLoader`, `TrainingSamples`, `PolicyBatch`) is imported when it is first asked for.
"""

from importlib import import_module

from vitra_lib.dataset.action_space import ActionSpace
from vitra_lib.dataset.arrays import EpisodeArrays
from vitra_lib.dataset.colour import ColourConfig
from vitra_lib.dataset.draws import draw, draw_many, sample_rng
from vitra_lib.dataset.labels import replay
from vitra_lib.dataset.mixture import MIXTURES, Mixture
from vitra_lib.dataset.normalisation import Normaliser, read_statistics, write_statistics
from vitra_lib.dataset.sample import (
    AugmentationConfig,
    LabelBatch,
    Sample,
    SampleConfig,
    make_label_batch,
    make_sample,
    render_image,
)
from vitra_lib.dataset.sampler import Locality, MixtureOrder, MixtureSampler, SampleKey, Share
from vitra_lib.dataset.source import OfficialSource, SampleSource, SourceConfig, StoreSource, open_source
from vitra_lib.dataset.statistics import LabelStatistics, label_statistics, mixed, source_statistics
from vitra_lib.dataset.text import mirror_instruction, mirror_text
from vitra_lib.dataset.virtual_camera import ViewConfig, VirtualCameras

_NEED_TORCH = {
    "LoaderConfig": "loader",
    "PolicyBatch": "collate",
    "ReadConfig": "training_samples",
    "TrainingLoader": "loader",
    "TrainingSamples": "training_samples",
}

__all__ = [
    "ActionSpace",
    "AugmentationConfig",
    "ColourConfig",
    "EpisodeArrays",
    "LabelBatch",
    "LabelStatistics",
    "LoaderConfig",
    "Locality",
    "MIXTURES",
    "Mixture",
    "MixtureOrder",
    "MixtureSampler",
    "Normaliser",
    "OfficialSource",
    "PolicyBatch",
    "ReadConfig",
    "Sample",
    "SampleConfig",
    "SampleKey",
    "SampleSource",
    "Share",
    "SourceConfig",
    "StoreSource",
    "TrainingLoader",
    "TrainingSamples",
    "ViewConfig",
    "VirtualCameras",
    "draw",
    "draw_many",
    "label_statistics",
    "make_label_batch",
    "make_sample",
    "mirror_instruction",
    "mirror_text",
    "mixed",
    "open_source",
    "read_statistics",
    "render_image",
    "replay",
    "sample_rng",
    "source_statistics",
    "write_statistics",
]


def __getattr__(name: str) -> object:
    """Import on demand what needs torch."""
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NEED_TORCH[name]}"), name)
