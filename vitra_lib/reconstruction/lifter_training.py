"""Training and choice of the lifter, blind: every decision is made on held-out renders, never on a real video.

Clips are split three ways: training, validation (which candidate wins) and test (the figures in the record). The
controls stand in the same table: a constant mean pose, and the tracker's own 3-D guess set to metric size.
"""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import log as rotation_log
from vitra_lib.geometry.rotations import nearest_rotation
from vitra_lib.reconstruction.lifter import FEATURES, PALM, Lifter, decode, encode, encode_truth
from vitra_lib.reconstruction.lifter_data import LifterSamples

logger = logging.getLogger(__name__)

_SPLIT_PERIOD = 10  # clips ...8 validate, clips ...9 test


@dataclass(frozen=True)
class Candidate:
    """One way to build a lifter.

    Attributes:
        name: for the table.
        width: neurons per hidden layer; 0 = linear (ridge).
        hidden: number of hidden layers.
        members: networks in the ensemble.
        epochs: passes over the data.
        weight_decay: AdamW's, or the ridge penalty in units of samples.
        dropout: share of hidden neurons dropped in training.
        uses_roll: whether the network sees which way up the hand is in the image.
        uses_world: whether it sees the tracker's own 3-D guess.
        jitter: standard deviation of noise added to the normalised features in training.
        flatten: 0 = samples as they come; 1 = every hand distance equally often, so that the mean distance of the
            renders does not pull the depth of far and near hands.
    """

    name: str
    width: int = 128
    hidden: int = 3
    members: int = 1
    epochs: int = 60
    weight_decay: float = 1e-3
    dropout: float = 0.0
    uses_roll: bool = True
    uses_world: bool = True
    jitter: float = 0.05
    flatten: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 0 or self.hidden < 1 or self.members < 1 or self.epochs < 1:
            raise BadInput(f"Candidate {self.name!r} needs width >= 0 and at least one layer, member and epoch.")


@dataclass(frozen=True)
class LiftErrors:
    """Medians over samples against the truth.

    Attributes:
        wrist_cm: distance of the wrist in the camera [cm].
        rotation_deg: angle between lifted and true palm [deg].
        relative_mm: mean distance of the joints relative to the wrist [mm].
        depth_ratio: lifted / true wrist depth.
        camera_mm: mean distance of the joints in the camera [mm]; what decides between candidates.
        samples: how many.
    """

    wrist_cm: float
    rotation_deg: float
    relative_mm: float
    depth_ratio: float
    camera_mm: float
    samples: int


def palm_rotation_error(
    lifted: Float[np.ndarray, "n 21 3"], truth: Float[np.ndarray, "n 21 3"]
) -> Float[np.ndarray, " n"]:
    """Angle [rad] of the rotation that best carries the true palm joints to the lifted ones."""
    a = lifted[:, PALM] - lifted[:, PALM].mean(axis=1, keepdims=True)
    b = truth[:, PALM] - truth[:, PALM].mean(axis=1, keepdims=True)
    return np.linalg.norm(rotation_log(nearest_rotation(np.swapaxes(a, 1, 2) @ b)), axis=-1)


def errors(lifted: Float[np.ndarray, "n 21 3"], truth: Float[np.ndarray, "n 21 3"]) -> LiftErrors:
    """Compare lifted with true joints in the camera [m]."""
    relative = np.linalg.norm((lifted - lifted[:, :1]) - (truth - truth[:, :1]), axis=-1)[:, 1:].mean(axis=1)
    return LiftErrors(
        wrist_cm=float(np.median(np.linalg.norm(lifted[:, 0] - truth[:, 0], axis=-1)) * 100),
        rotation_deg=float(np.rad2deg(np.median(palm_rotation_error(lifted, truth)))),
        relative_mm=float(np.median(relative) * 1000),
        depth_ratio=float(np.median(lifted[:, 0, 2] / truth[:, 0, 2])),
        camera_mm=float(np.median(np.linalg.norm(lifted - truth, axis=-1).mean(axis=1)) * 1000),
        samples=len(lifted),
    )


def split(samples: LifterSamples) -> tuple[LifterSamples, LifterSamples, LifterSamples]:
    """(training, validation, test), by clip."""
    part = samples.clip % _SPLIT_PERIOD
    return samples.take(part < 8), samples.take(part == 8), samples.take(part == 9)


def lift_samples(lifter: Lifter, samples: LifterSamples) -> Float[np.ndarray, "n 21 3"]:
    """Joints in the camera [m] of right-handed samples."""
    features, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    return decode(lifter.predict(features)[0], frame)


def constant_control(train: LifterSamples) -> Lifter:
    """The lifter that answers every hand with the mean pose of the training set: it only uses size and place."""
    _, frame = encode(train.rays_cam, train.world_landmarks_m, train.score)
    targets = encode_truth(train.joints_cam, frame)
    layers = [[(np.zeros((FEATURES, 64)), np.zeros(64))]]
    return Lifter(layers, np.zeros(FEATURES), np.ones(FEATURES), targets.mean(0), np.ones(63))


def naive_lift(samples: LifterSamples, reference: Float[np.ndarray, "m 21 3"]) -> Float[np.ndarray, "n 21 3"]:
    """Control: the tracker's own 3-D guess, set to the palm size of `reference` and placed where it projects right."""
    guess = samples.world_landmarks_m - samples.world_landmarks_m[:, :1]

    def palm_size(joints: np.ndarray) -> np.ndarray:
        return np.linalg.norm(joints[:, PALM[1:]] - joints[:, :1], axis=-1).mean(axis=1)

    guess = guess * (np.mean(palm_size(reference)) / palm_size(guess))[:, None, None]
    _, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    rays = samples.rays_cam @ np.swapaxes(frame.R_ray_cam, 1, 2)
    roll = frame.roll
    turn = np.stack([np.stack([roll[:, 0], roll[:, 1]], -1), np.stack([-roll[:, 1], roll[:, 0]], -1)], -2)
    guess = np.concatenate([guess[..., :2] @ np.swapaxes(turn, 1, 2), guess[..., 2:]], axis=-1)
    p = rays[..., :2] / rays[..., 2:]
    # p (z + tz) = (x, y) + (tx, ty): linear in the translation
    A = np.zeros((len(p), 21, 2, 3))
    A[..., 0, 0] = A[..., 1, 1] = 1.0
    A[..., 2] = -p
    b = p * guess[..., 2:] - guess[..., :2]
    A, b = A.reshape(len(p), 42, 3), b.reshape(len(p), 42, 1)
    t = np.linalg.solve(np.swapaxes(A, 1, 2) @ A, np.swapaxes(A, 1, 2) @ b)[..., 0]
    return (guess + t[:, None]) @ frame.R_ray_cam


def train(
    samples: LifterSamples, candidate: Candidate, seed: int, progress: Callable[[str], None] | None = None
) -> Lifter:
    """Fit one candidate to samples.

    Args:
        samples: training data.
        candidate: what to build.
        seed: of initialisation and order.
        progress: gets a line per tenth of the training.

    Returns:
        The lifter, float64 in memory; `save` writes half precision.
    """
    features, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    targets = encode_truth(samples.joints_cam, frame)
    mean, std = features.mean(0), features.std(0) + 1e-6
    std[42 + 1 + 63 + 1 :] = 1.0 if candidate.uses_roll else np.inf
    mean[42 + 1 + 63 + 1 :] = 0.0
    std[42 + 1 + 63] = np.inf  # how sure the side is depends on how sides are told apart, not on the hand's shape
    if not candidate.uses_world:
        std[43:106] = np.inf
    target_mean, target_std = targets.mean(0), np.maximum(targets.std(0), 0.05)
    x, y = (features - mean) / std, (targets - target_mean) / target_std
    if candidate.width == 0:
        layers = [[_ridge(x, y, candidate.weight_decay)]]
    else:
        units = (target_std, _frequency(samples.joints_cam[:, 0], candidate.flatten))
        layers = [_train_member(x, y, units, candidate, seed * 100 + m, progress) for m in range(candidate.members)]
    return Lifter(layers, mean, std, target_mean, target_std)


def _frequency(wrist: np.ndarray, flatten: float) -> np.ndarray:
    """How often each sample is drawn: inversely to how common its distance is, at most four times the average."""
    bins = np.clip((np.linalg.norm(wrist, axis=1) / 0.05).astype(int), 3, 16)
    common = np.bincount(bins, minlength=17)[bins]
    weight = (np.mean(common) / common) ** flatten
    return np.minimum(weight / weight.mean(), 4.0)


def _ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    centre = x.mean(0)
    weight = np.linalg.solve((x - centre).T @ (x - centre) + penalty * np.eye(x.shape[1]), (x - centre).T @ y)
    spread = np.full((1, 1), np.log(0.12))  # a linear map has no opinion about its error: the typical one
    return np.hstack([weight, np.zeros((len(weight), 1))]), np.hstack([y.mean(0) - centre @ weight, spread[0]])


def _train_member(
    x: np.ndarray,
    y: np.ndarray,
    units: tuple[np.ndarray, np.ndarray],
    candidate: Candidate,
    seed: int,
    progress: Callable[[str], None] | None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    import torch

    torch.manual_seed(seed)
    target_std, frequency = (torch.tensor(u, dtype=torch.float32) for u in units)
    widths = [x.shape[1], *[candidate.width] * candidate.hidden]
    blocks: list[torch.nn.Module] = []
    for i, o in zip(widths[:-1], widths[1:], strict=True):
        blocks += [torch.nn.Linear(i, o), torch.nn.ReLU(), torch.nn.Dropout(candidate.dropout)]
    net = torch.nn.Sequential(*blocks, torch.nn.Linear(widths[-1], 64))
    X, Y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    batch = 256
    steps = candidate.epochs * max(1, len(X) // batch)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=candidate.weight_decay)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, 0.5 + 0.5 * np.cos(np.pi * min(step / steps, 1.0)))
    )
    order = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rows = torch.multinomial(frequency, batch, replacement=True, generator=order)
        noisy = X[rows]
        if candidate.jitter:
            noisy = noisy + candidate.jitter * torch.randn(noisy.shape, generator=order)
        loss = _loss(net(noisy), Y[rows], target_std)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if progress and (step + 1) % max(1, steps // 10) == 0:
            progress(f"{candidate.name}: step {step + 1} of {steps}, loss {loss.item():.3f}")
    net.eval()
    linear = [block for block in net if isinstance(block, torch.nn.Linear)]
    return [
        (b.weight.detach().numpy().T.astype(np.float64), b.bias.detach().numpy().astype(np.float64)) for b in linear
    ]


def _loss(output: "torch.Tensor", target: "torch.Tensor", target_std: "torch.Tensor") -> "torch.Tensor":  # noqa: F821
    """Robust distance of joints, wrist depth and place, in centimetres at arm's length, plus the error's likelihood."""
    import torch

    gap = (output[:, :63] - target) * target_std
    joints = gap[:, :60].reshape(-1, 20, 3) * 10.0  # decimetres -> centimetres
    distance = torch.sqrt((joints**2).sum(-1) + 0.25)
    weight = torch.ones(20)
    weight[[4, 8, 12, 16]] = 3.0  # the knuckles carry the wrist's rotation
    relative = (distance * weight).sum(-1) / weight.sum()
    depth = gap[:, 62]
    lateral = gap[:, 60:62].square().sum(-1)
    place = torch.sqrt((40.0 * depth) ** 2 + 100.0 * lateral + 0.25)
    # error of the wrist in units of its depth; the spread must not distort the mean, hence detach
    wrist = torch.sqrt(depth**2 + 0.02 * lateral + 1e-6).detach()
    spread = output[:, 63].clamp(-8.0, 2.0)
    return (relative + 0.7 * place + 0.3 * (spread + wrist * torch.exp(-spread))).mean()


def save(lifter: Lifter, path: Path, record: dict) -> None:
    """Write weights (half precision) and the record beside them (.json)."""
    arrays: dict[str, np.ndarray] = {
        "members": np.array(len(lifter.layers)),
        "depth": np.array(len(lifter.layers[0])),
    }
    for m, member in enumerate(lifter.layers):
        for k, (weight, bias) in enumerate(member):
            arrays[f"w{m}_{k}"], arrays[f"b{m}_{k}"] = weight.astype(np.float16), bias.astype(np.float16)
    for name in ("mean", "std", "target_mean", "target_std"):
        arrays[name] = getattr(lifter, name).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".npz.tmp")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)
    os.replace(temporary, path)
    text = path.with_suffix(".json.tmp")
    text.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(text, path.with_suffix(".json"))


def table(
    samples: LifterSamples, candidates: list[Candidate], seed: int, progress: Callable[[str], None] | None = None
) -> tuple[Lifter, Candidate, dict]:
    """Train all candidates, choose on validation clips, measure on test clips.

    Returns:
        The chosen lifter, its candidate, and the record: table of errors with the controls, counts and versions.
    """
    training, validation, test = split(samples)
    if min(len(training), len(validation), len(test)) < 20:
        raise BadInput(f"{len(samples)} samples are too few to train a lifter: render at least 100 clips.")
    constant = constant_control(training)
    rows = {
        "control: constant mean pose": _row(
            lift_samples(constant, validation), lift_samples(constant, test), validation, test
        ),
        "control: tracker's own 3-D": _row(
            naive_lift(validation, training.joints_cam), naive_lift(test, training.joints_cam), validation, test
        ),
    }
    best: tuple[float, Lifter, Candidate] | None = None
    for candidate in candidates:
        lifter = train(training, candidate, seed, progress)
        rows[candidate.name] = _row(lift_samples(lifter, validation), lift_samples(lifter, test), validation, test)
        score = rows[candidate.name]["validation"]["camera_mm"]
        if progress:
            progress(f"{candidate.name}: {rows[candidate.name]}")
        if best is None or score < best[0]:
            best = (score, lifter, candidate)
    assert best is not None
    record = {
        "chosen": best[2].name,
        "rule": "smallest median joint distance in the camera on validation clips; figures to quote are those of test",
        "samples": {"training": len(training), "validation": len(validation), "test": len(test)},
        "clips": len(np.unique(samples.clip)),
        "candidate": asdict(best[2]),
        "seed": seed,
        "errors": rows,
        "packages": {name: version(name) for name in ("numpy", "torch", "mediapipe")},
    }
    return best[1], best[2], record


def _row(on_validation: np.ndarray, on_test: np.ndarray, validation: LifterSamples, test: LifterSamples) -> dict:
    rows = {"validation": errors(on_validation, validation.joints_cam), "test": errors(on_test, test.joints_cam)}
    return {name: {k: round(v, 3) for k, v in asdict(row).items()} for name, row in rows.items()}


CANDIDATES: tuple[Candidate, ...] = (
    Candidate("ridge, penalty 30", width=0, weight_decay=30.0),
    Candidate("perceptron 3x128", dropout=0.05),
    Candidate("perceptron 3x128, without roll", dropout=0.05, uses_roll=False),
    Candidate("perceptron 3x128, without tracker's 3-D", dropout=0.05, uses_world=False),
    Candidate("perceptron 3x128, three members", members=3, dropout=0.05),
)
"""What `vitra lifter train` tries."""

QUICK_CANDIDATES: tuple[Candidate, ...] = (
    Candidate("ridge, penalty 30", width=0, weight_decay=30.0),
    Candidate("perceptron 2x64", width=64, hidden=2, epochs=20),
)
