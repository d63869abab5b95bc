"""The statistics files of the official layout (spec of the episode format, 1.7): where they are, and how ours are made.

A released file is carried along letter by letter, so that normalisation with released weights stays exact. A dataset
that has none gets one from its own running statistics: mean and population deviation of the state of every valid frame
and of the step after it, in the camera of that frame, without augmentation.
"""

import json
from pathlib import Path

import numpy as np

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.episodes.schema import ACTION_DIM, STATE_DIM
from vitra_lib.episodes.statistics import Moments

OFFICIAL_STATISTICS = "meta/vitra/official_statistics"
_DIMS = {"state": ("observation.state", STATE_DIM), "action": ("action", ACTION_DIM)}


def find_statistics(folder: Path) -> Path | None:
    """The released statistics of one dataset folder, in either layout, or None.

    Args:
        folder: the dataset folder; its statistics are in it, or in "statistics" beside it.
    """
    named = f"{folder.name}_angle_statistics.json"
    for path in (folder.parent / "statistics" / named, folder / named, folder / "statistics.json"):
        if path.is_file():
            return path
    return None


def official_statistics(dataset: str, moments: dict[str, Moments]) -> str:
    """The official file's text, from a store's running statistics.

    Args:
        dataset: name of the dataset folder.
        moments: running statistics per column.
    """
    content: dict[str, object] = {"dataset_name": dataset}
    for kind, (column, size) in _DIMS.items():
        block = moments[column]
        deviation = np.sqrt(np.divide(block.m2, block.count, out=np.zeros_like(block.m2), where=block.count > 0))
        for index, side in enumerate(SIDES):
            part = slice(index * size // 2, (index + 1) * size // 2)
            content[f"{kind}_{side}"] = {"mean": block.mean[part].tolist(), "std": deviation[part].tolist()}
    content["num_traj"] = moments["action"].rows
    return json.dumps(content, indent=1) + "\n"
