"""Train the handedness perceptron on rendered views whose side is known; clips are split, so no view is seen twice."""

import json
from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.core.files import atomic_path, write_json
from vitra_lib.reconstruction.handedness import FEATURES, features, log_odds, mirrored

_WIDTHS = (64, 64)
_EPOCHS, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY, _DROPOUT = 30, 256, 2e-3, 1e-2, 0.1
_TEST_EVERY = 5


def load(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, true side (True = right) and clip of every detected hand in the lifter's shards.

    Raises:
        BadInput: the folder holds no shards.
    """
    rows = []
    for path in sorted(Path(folder).glob("views_*.npz")):
        with np.load(path, allow_pickle=False) as shard:
            if len(shard["is_right"]) == 0:
                continue
            centre = shard["K_px"][:, :2, 2].astype(float)  # the renders' principal point is the middle of the picture
            uv = shard["keypoints_px"].astype(float)
            x = np.concatenate(
                [
                    features(uv[i : i + 1], shard["world_landmarks_m"][i : i + 1].astype(float),
                             shard["right_probability"][i : i + 1].astype(float), 2 * centre[i, 0], 2 * centre[i, 1])
                    for i in range(len(uv))
                ]
            )  # fmt: skip
            rows.append((x, shard["is_right"].astype(bool), shard["clip"] + 1_000_000 * int(path.stem.split("_")[1])))
    if not rows:
        raise BadInput(f"{folder} holds no rendered views: make some with `vitra lifter render --out {folder}`.")
    return tuple(np.concatenate(part) for part in zip(*rows, strict=True))


def train(folder: Path, out: Path, seed: int = 0) -> dict:
    """Train, measure on held-out clips, write weights and a record beside them.

    Args:
        folder: shards of `vitra lifter render`.
        out: the `.npz` to write.
        seed: of initialisation and order.

    Returns:
        The record: counts, and accuracy of the tracker's label and of ours on held-out clips.
    """
    import torch
    from torch import nn

    x, is_right, clip = load(folder)
    test = clip % _TEST_EVERY == 0
    inputs = torch.tensor(np.concatenate([x[~test], mirrored(x[~test])]), dtype=torch.float32)
    wanted = torch.tensor(np.concatenate([is_right[~test], ~is_right[~test]]), dtype=torch.float32)
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for before, after in zip((FEATURES, *_WIDTHS), _WIDTHS, strict=False):
        parts += [nn.Linear(before, after), nn.SiLU(), nn.Dropout(_DROPOUT)]
    network = nn.Sequential(*parts, nn.Linear(_WIDTHS[-1], 1))
    optimiser = torch.optim.AdamW(network.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(inputs)).split(_BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(network(inputs[batch])[:, 0], wanted[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    layers = [
        (part.weight.detach().numpy().T.astype(np.float16), part.bias.detach().numpy().astype(np.float16))
        for part in network
        if isinstance(part, nn.Linear)
    ]
    with atomic_path(out) as temporary, temporary.open("wb") as file:
        named = ((f"{name}{i}", pair[k]) for i, pair in enumerate(layers) for k, name in enumerate("wb"))
        np.savez(file, **dict(named))
    score = log_odds([(w.astype(float), b.astype(float)) for w, b in layers], x[test])
    record = {
        "command": f"vitra lifter handedness --data DIR --seed {seed}",
        "samples": {"training": int((~test).sum()), "test": int(test.sum())},
        "accuracy_of_the_tracker": round(float(((x[test, -1] > 0) == is_right[test]).mean()), 4),
        "accuracy": round(float(((score > 0) == is_right[test]).mean()), 4),
        "cross_entropy": round(float(np.log1p(np.exp(-np.where(is_right[test], score, -score))).mean()), 4),
        "torch": torch.__version__,
    }
    write_json(out.with_suffix(".json"), record)
    return json.loads(out.with_suffix(".json").read_text())
