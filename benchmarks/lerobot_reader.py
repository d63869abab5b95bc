"""Read a dataset through the `lerobot` package alone and write down all it gave; run by lerobot_opens.py.

    PYTHON-WITH-LEROBOT benchmarks/lerobot_reader.py DATASET OUT.npz [--backend pyav]

This file imports nothing of this kit: it runs in an environment of its own, since lerobot pins other versions. It
replaces nothing in lerobot either; `video_backend` is lerobot's own option.
"""

import argparse
import json
from importlib import metadata

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main() -> None:
    """Read every frame and every column, by item and by table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("out")
    parser.add_argument("--backend", default="pyav", help="lerobot's video backend (pyav, torchcodec)")
    args = parser.parse_args()
    dataset = LeRobotDataset("local/episodes", root=args.dataset, video_backend=args.backend)
    arrays: dict[str, np.ndarray] = {}
    table = dataset.hf_dataset.with_format("arrow")[:]
    for name in table.column_names:
        column = table.column(name).combine_chunks()
        flat = column.flatten() if hasattr(column, "flatten") and column.type.num_fields else column
        arrays[f"table/{name}"] = flat.to_numpy(zero_copy_only=False).reshape(len(column), -1)
    items: dict[str, list[np.ndarray]] = {}
    tasks: list[str] = []
    for number in range(len(dataset)):
        for name, value in dataset[number].items():
            if name == "task":
                tasks.append(value)
            elif torch.is_tensor(value):
                image = value.ndim == 3
                items.setdefault(name, []).append((value * 255).round().byte().numpy() if image else value.numpy())
    arrays |= {f"item/{name}": np.stack(values) for name, values in items.items()}
    # What lerobot's own training loader makes of it: batches, in which every frame appears once.
    loader = torch.utils.data.DataLoader(dataset, batch_size=16)
    arrays["loader_index"] = torch.cat([batch["index"].reshape(-1) for batch in loader]).numpy()
    stats = {
        name: {key: np.asarray(v).tolist() for key, v in entry.items()} for name, entry in dataset.meta.stats.items()
    }
    packages = ("lerobot", "torch", "torchvision", "torchcodec", "av", "datasets", "numpy")
    about = {
        "tasks": tasks,
        "stats": stats,
        "fps": dataset.fps,
        "episodes": dataset.num_episodes,
        "frames": dataset.num_frames,
        "backend": args.backend,
        "versions": {name: metadata.version(name) for name in packages},
    }
    np.savez(args.out, about=np.array(json.dumps(about)), **arrays)


if __name__ == "__main__":
    main()
