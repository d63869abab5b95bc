"""Training and choice of the lifter, blind: every decision is made on held-out renders, never on a real video.

Rendered clips are split three ways: training, validation (which candidate wins) and test (the figures in the record).
The validation clips also teach the chosen lifter how its doubt goes with its true error (`fit_belief`).
Besides the rendered clips, a candidate may learn from poses that were never rendered, seen through a model of the
tracker (`tracker_model`); that model knows the training clips only.
"""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from vitra_lib.core.errors import BadInput
from vitra_lib.reconstruction.lifter import OUTPUTS, TARGETS, Lifter, encode, encode_truth
from vitra_lib.reconstruction.lifter_data import LifterSamples, TruePoses
from vitra_lib.reconstruction.lifter_scores import constant_control, errors, fit_belief, lift_samples, naive_lift
from vitra_lib.reconstruction.tracker_model import TrackerModel

logger = logging.getLogger(__name__)

_SPLIT_PERIOD = 10  # clips ...8 validate, clips ...9 test
_BATCH = 256
_AT_WORK_LOOKS, _RESAMPLED_LOOKS = 3, 2


@dataclass(frozen=True)
class Simulated:
    """Sightings by a model of the tracker.

    Attributes:
        at_work: of hands at work, poses that were never rendered; None = there are no poses.
        resampled: of the rendered training hands.
        explained: share of the tracker's variance that its model explains.
    """

    at_work: LifterSamples | None
    resampled: LifterSamples
    explained: float

    @classmethod
    def of(cls, training: LifterSamples, poses: TruePoses | None, seed: int) -> "Simulated":
        """Learn the tracker from training clips and let it look at poses several times, erring anew."""
        model, rng = TrackerModel(training, seed), np.random.default_rng(seed)
        at_work = None
        if poses is not None and len(poses):
            at_work = model(poses.joints_cam, poses.clip, rng, _AT_WORK_LOOKS)
        again = model(training.joints_cam, training.clip, rng, _RESAMPLED_LOOKS)
        return cls(at_work, again, model.explained)


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
        at_work: share of training on simulated sightings of hands at work (`TruePoses`), in [0, 1).
        resampled: share of training on simulated sightings of the rendered hands themselves: same poses, new errors.
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
    at_work: float = 0.0
    resampled: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 0 or self.hidden < 1 or self.members < 1 or self.epochs < 1:
            raise BadInput(f"Candidate {self.name!r} needs width >= 0 and at least one layer, member and epoch.")
        if min(self.at_work, self.resampled) < 0 or self.at_work + self.resampled >= 1:
            raise BadInput(f"Candidate {self.name!r}: its simulated shares must be 0 or more and sum to less than 1.")


def split(samples: LifterSamples) -> tuple[LifterSamples, LifterSamples, LifterSamples]:
    """(training, validation, test), by clip."""
    part = samples.clip % _SPLIT_PERIOD
    return samples.take(part < 8), samples.take(part == 8), samples.take(part == 9)


def train(
    samples: LifterSamples,
    candidate: Candidate,
    seed: int,
    progress: Callable[[str], None] | None = None,
    simulated: Simulated | None = None,
) -> Lifter:
    """Fit one candidate to samples.

    Args:
        samples: rendered training data.
        candidate: what to build.
        seed: of initialisation and order.
        progress: gets a line per tenth of the training.
        simulated: what the candidate's shares of simulated sightings are drawn from.

    Returns:
        The lifter, float64 in memory; `save` writes half precision.

    Raises:
        BadInput: the candidate wants simulated sightings and there are none.
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
    frequency = _frequency(samples.joints_cam[:, 0], candidate.flatten)
    steps = max(1, candidate.epochs * len(samples) // _BATCH)
    rendered = 1 - candidate.at_work - candidate.resampled
    pools = [(features, targets, rendered * frequency / frequency.sum())]
    for share, name in ((candidate.at_work, "at_work"), (candidate.resampled, "resampled")):
        if share > 0:
            extra = getattr(simulated, name, None)
            if extra is None:
                raise BadInput(
                    f"Candidate {candidate.name!r} learns from poses of hands at work: "
                    "make some with `vitra lifter render --of poses`."
                )
            seen, frame = encode(extra.rays_cam, extra.world_landmarks_m, extra.score)
            pools.append((seen, encode_truth(extra.joints_cam, frame), np.full(len(extra), share / len(extra))))
    x, y, frequency = (np.concatenate(column) for column in zip(*pools, strict=True))
    x, y = (x - mean) / std, (y - target_mean) / target_std
    if candidate.width == 0:
        layers = [[_ridge(x, y, candidate.weight_decay)]]
    else:
        data = (x, y, frequency, target_std)
        layers = [_train_member(data, steps, candidate, seed * 100 + m, progress) for m in range(candidate.members)]
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
    spread = np.log([0.12, 0.25])  # a linear map has no opinion about its errors: the typical ones
    return np.hstack([weight, np.zeros((len(weight), 2))]), np.hstack([y.mean(0) - centre @ weight, spread])


def _train_member(
    data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    steps: int,
    candidate: Candidate,
    seed: int,
    progress: Callable[[str], None] | None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """One network from (x, y, frequency of each row, scale of y)."""
    import torch

    torch.manual_seed(seed)
    x, y, frequency, target_std = data
    widths = [x.shape[1], *[candidate.width] * candidate.hidden]
    blocks: list[torch.nn.Module] = []
    for i, o in zip(widths[:-1], widths[1:], strict=True):
        blocks += [torch.nn.Linear(i, o), torch.nn.ReLU(), torch.nn.Dropout(candidate.dropout)]
    net = torch.nn.Sequential(*blocks, torch.nn.Linear(widths[-1], OUTPUTS))
    X, Y, scale = (torch.tensor(a, dtype=torch.float32) for a in (x, y, target_std))
    heap = torch.cumsum(torch.tensor(frequency / frequency.sum(), dtype=torch.float64), 0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=candidate.weight_decay)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min((step + 1) / warm, 0.5 + 0.5 * np.cos(np.pi * min(step / steps, 1.0)))
    )
    order = torch.Generator().manual_seed(seed)
    for step in range(steps):
        rows = torch.searchsorted(heap, torch.rand(_BATCH, generator=order, dtype=torch.float64)).clamp(max=len(X) - 1)
        noisy = X[rows]
        if candidate.jitter:
            noisy = noisy + candidate.jitter * torch.randn(noisy.shape, generator=order)
        loss = _loss(net(noisy), Y[rows], scale)
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

    gap = (output[:, :TARGETS] - target) * target_std
    joints = gap[:, :60].reshape(-1, 20, 3) * 10.0  # decimetres -> centimetres
    distance = torch.sqrt((joints**2).sum(-1) + 0.25)
    weight = torch.ones(20)
    weight[[4, 8, 12, 16]] = 3.0  # the knuckles carry the wrist's rotation
    relative = (distance * weight).sum(-1) / weight.sum()
    depth = gap[:, 62]
    lateral = gap[:, 60:62].square().sum(-1)
    place = torch.sqrt((40.0 * depth) ** 2 + 100.0 * lateral + 0.25)
    # errors of the wrist in units of its depth, and of the joints in decimetres; their spread must not distort the
    # mean, hence detach
    wrist = torch.sqrt(depth**2 + 0.02 * lateral + 1e-6).detach()
    shape = 0.1 * joints.norm(dim=-1).mean(-1).detach()
    spread = output[:, TARGETS:].clamp(-8.0, 2.0)
    likelihood = (spread + torch.stack([wrist, shape], -1) * torch.exp(-spread)).sum(-1)
    return (relative + 0.7 * place + 0.3 * likelihood).mean()


def save(lifter: Lifter, path: Path, record: dict) -> None:
    """Write weights (half precision) and the record beside them (.json)."""
    arrays: dict[str, np.ndarray] = {
        "members": np.array(len(lifter.layers)),
        "depth": np.array(len(lifter.layers[0])),
    }
    for m, member in enumerate(lifter.layers):
        for k, (weight, bias) in enumerate(member):
            arrays[f"w{m}_{k}"], arrays[f"b{m}_{k}"] = weight.astype(np.float16), bias.astype(np.float16)
    for name in ("mean", "std", "target_mean", "target_std", "belief"):
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
    samples: LifterSamples,
    candidates: list[Candidate],
    seed: int,
    progress: Callable[[str], None] | None = None,
    poses: TruePoses | None = None,
    at_work: LifterSamples | None = None,
) -> tuple[Lifter, Candidate, dict]:
    """Train all candidates, choose on validation clips, measure on test clips.

    Args:
        samples: rendered lone hands.
        candidates: what to try.
        seed: of everything random.
        progress: gets lines about the training.
        poses: true poses of hands at work, for the candidates that learn from them.
        at_work: rendered hands at work, seen by the tracker itself: never trained on. Half of their clips vote on the
            choice, as much as the lone hands do.

    Returns:
        The chosen lifter, its candidate, and the record: table of errors with the controls, counts and versions.
    """
    training, sets = _held_out(samples, at_work)
    deciding = [name for name in sets if name.startswith("validation")]
    constant = constant_control(training)
    rows = {
        "control: constant mean pose": _row(lambda s: lift_samples(constant, s), sets),
        "control: tracker's own 3-D": _row(lambda s: naive_lift(s, training.joints_cam), sets),
    }
    needs_model = any(c.at_work + c.resampled > 0 for c in candidates)
    simulated = Simulated.of(training, poses, seed) if needs_model else None
    best: tuple[float, Lifter, Candidate] | None = None
    for candidate in candidates:
        lifter = train(training, candidate, seed, progress, simulated)
        rows[candidate.name] = _row(partial(lift_samples, lifter), sets)
        score = float(np.mean([rows[candidate.name][name]["camera_mm"] for name in deciding]))
        if progress:
            progress(f"{candidate.name}: {rows[candidate.name]}")
        if best is None or score < best[0]:
            best = (score, lifter, candidate)
    assert best is not None
    best[1].belief = fit_belief(best[1], [sets[name] for name in deciding])
    record = {
        "chosen": best[2].name,
        "rule": "smallest median joint distance in the camera, mean of the validation sets; quote the test sets",
        "samples": {name: len(part) for name, part in ({"training": training} | sets).items()},
        "clips": len(np.unique(samples.clip)),
        "poses": 0 if poses is None else len(poses),
        "tracker_variance_explained": None if simulated is None else round(simulated.explained, 3),
        "candidate": asdict(best[2]),
        "seed": seed,
        "errors": rows,
        "belief": [round(float(v), 4) for v in best[1].belief],
        "packages": {name: version(name) for name in ("numpy", "torch", "mediapipe")},
    }
    return best[1], best[2], record


def _held_out(samples: LifterSamples, at_work: LifterSamples | None) -> tuple[LifterSamples, dict[str, LifterSamples]]:
    """What is trained on, and the validation and test sets by name."""
    training, validation, test = split(samples)
    if min(len(training), len(validation), len(test)) < 20:
        raise BadInput(f"{len(samples)} samples are too few to train a lifter: render at least 100 clips.")
    sets = {"validation": validation, "test": test}
    if at_work is not None:
        sets["validation, at work"] = at_work.take(at_work.clip % 2 == 0)
        sets["test, at work"] = at_work.take(at_work.clip % 2 == 1)
    return training, sets


def _row(lift: Callable[[LifterSamples], np.ndarray], sets: dict[str, LifterSamples]) -> dict[str, dict[str, float]]:
    rows = {name: errors(lift(part), part.joints_cam) for name, part in sets.items()}
    return {name: {k: round(v, 3) for k, v in asdict(row).items()} for name, row in rows.items()}


_LARGE = Candidate("perceptron 3x256", width=256, dropout=0.1, epochs=60)
CANDIDATES: tuple[Candidate, ...] = (
    Candidate("ridge, penalty 30", width=0, weight_decay=30.0),
    Candidate("perceptron 3x128, rendered views alone", dropout=0.05, epochs=40),
    replace(_LARGE, name="perceptron 3x256, with simulated sightings", at_work=0.4, resampled=0.2, members=3),
)
"""What `vitra lifter train` tries."""

QUICK_CANDIDATES: tuple[Candidate, ...] = (
    Candidate("ridge, penalty 30", width=0, weight_decay=30.0),
    Candidate("perceptron 2x64", width=64, hidden=2, epochs=20),
)
