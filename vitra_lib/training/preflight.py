"""Checks before a long run: a mistake in the data shows in a minute, not after two days.

Each finding is one sentence. Findings that must stop a run are problems; the others are remarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vitra_lib.captioning.instruction import NO_INSTRUCTION
from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.dataset import ActionSpace, Normaliser, PolicyBatch
from vitra_lib.policy.config import PolicyConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import TrainingConfig
from vitra_lib.training.optimizer import freeze
from vitra_lib.training.step import sample_draws

MIN_STD = 1e-4
"""Least standard deviation of a number that is learned [m or rad]: smaller ones blow noise up."""
FAR_Z, FAR_SHARE = 10.0, 0.002
"""Normalised numbers beyond this many deviations are outliers; so many of them are a finding."""
HORIZON_S = (0.2, 4.0)
"""Legal length of an action chunk [s]."""
_SPACE = ActionSpace("angle")
_OVERFIT_SAMPLES, _OVERFIT_STEPS, _OVERFIT_RATE, _OVERFIT_SHARE = 8, 20, 1e-3, 0.9


class PreflightFailed(VitraError):
    """The checks before a run found what would spoil it."""


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed.

    Attributes:
        sentence: what, and what to do.
        is_problem: True where the run must not start.
    """

    sentence: str
    is_problem: bool = True


def check_batches(batches: Sequence[PolicyBatch], config: PolicyConfig, processor: Processor) -> list[Finding]:
    """Dimensions, masks, finite numbers, pictures and instructions of some batches."""
    if not batches:
        return [Finding("The data give no batch at all; they have fewer samples than one batch needs.")]
    found: dict[str, Finding] = {}
    for batch in batches:
        for finding in (*_dimensions(batch, config), *_masks(batch), *_texts(batch, config, processor)):
            found.setdefault(finding.sentence, finding)
    return list(found.values())


def check_statistics(batches: Sequence[PolicyBatch], normaliser: Normaliser) -> list[Finding]:
    """Whether the statistics are finite, not too small, and those of these data."""
    findings = []
    for kind, size in (("state", _SPACE.state_dim), ("action", _SPACE.action_dim)):
        mean, std = getattr(normaliser, f"{kind}_mean"), getattr(normaliser, f"{kind}_std")
        if len(mean) != size:
            findings.append(Finding(f"The statistics of the {kind} have {len(mean)} numbers, the data have {size}."))
            continue
        values, masks = _rows(batches, kind)
        used = _used(std, kind)
        if not np.isfinite(mean).all() or not np.isfinite(std).all():
            findings.append(Finding(f"The statistics of the {kind} are not finite; make them with `vitra statistics`."))
            continue
        small = np.flatnonzero((used < MIN_STD) & masks.any(0))
        if len(small):
            largest = float(np.abs(np.where(masks, values, 0.0)[:, small]).max())
            findings.append(_small_spread(kind, small, largest))
        findings += _spread(values, masks, kind)
    return findings


def check_timing(rates: Sequence[float], chunk: int) -> list[Finding]:
    """Whether an action chunk is as long in all data sets, and of a sensible length."""
    findings = []
    if rates and max(rates) > 1.2 * min(rates):
        findings.append(
            Finding(
                f"The data sets have {min(rates):g} to {max(rates):g} frames per second, so that {chunk} steps last "
                f"{chunk / max(rates):.2f} to {chunk / min(rates):.2f} s; the policy can't tell them apart.",
                is_problem=False,
            )
        )
    for rate in sorted(set(rates)):
        if not HORIZON_S[0] <= chunk / rate <= HORIZON_S[1]:
            findings.append(
                Finding(
                    f"At {rate:g} frames per second {chunk} steps last {chunk / rate:.2f} s; legal are {HORIZON_S[0]} "
                    f"to {HORIZON_S[1]} s: resample the videos or change the chunk."
                )
            )
    return findings


def check_overfit(policy: Policy, processor: Processor, batch: PolicyBatch, config: TrainingConfig) -> list[Finding]:
    """Whether the loss goes down on one batch shown again and again; the policy's weights come back as they were.

    Args:
        policy: stays as it is.
        processor: from batches to tensors.
        batch: its first eight samples are used.
        config: loss, frozen parts and precision of the run.
    """
    before = {name: value.detach().clone() for name, value in policy.state_dict().items()}
    learned = {name: p.requires_grad for name, p in policy.named_parameters()}
    was_training, was_bf16 = policy.training, policy.in_bf16
    part = _first(batch, _OVERFIT_SAMPLES).to(policy.device)
    inputs = processor.of_batch(policy.config, part).to(policy.device)
    draws = sample_draws(part, (config.seed, 0), policy, 4).to(policy.device)
    losses = []
    try:
        freeze(policy, config.freeze)
        policy.in_bf16 = config.precision == "bf16"
        policy.train()
        with torch.random.fork_rng(), torch.enable_grad():
            optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], _OVERFIT_RATE)
            for _ in range(_OVERFIT_STEPS + 1):
                loss = policy(inputs, part.action, part.action_mask, draws, config.loss).total
                losses.append(float(loss.detach()))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
                optimizer.step()
    except BadInput as error:
        return [Finding(f"The first batch can't be learned from: {error}")]
    finally:
        policy.load_state_dict(before)
        policy.in_bf16 = was_bf16
        policy.train(was_training)
        for name, parameter in policy.named_parameters():
            parameter.requires_grad_(learned[name])
            parameter.grad = None
    if not np.isfinite(losses).all():
        return [Finding("The loss of the first batch is not finite; look at the data with `vitra check`.")]
    if losses[-1] > _OVERFIT_SHARE * losses[0]:
        return [
            Finding(
                f"Shown one batch {_OVERFIT_STEPS} times, the policy's loss goes from {losses[0]:.3f} to "
                f"{losses[-1]:.3f} only; it can't learn from these labels, or too much of it is frozen."
            )
        ]
    return []


def report(findings: Sequence[Finding]) -> list[str]:
    """The remarks, if there is no problem.

    Raises:
        PreflightFailed: there is one; the message has all of them.
    """
    problems = [finding.sentence for finding in findings if finding.is_problem]
    if problems:
        raise PreflightFailed(" ".join([*problems, "(--skip-preflight starts all the same.)"]))
    return [finding.sentence for finding in findings]


def _dimensions(batch: PolicyBatch, config: PolicyConfig) -> list[Finding]:
    denoiser = config.denoiser
    wanted = {"action": (denoiser.chunk, denoiser.action_dim), "state": (denoiser.state_dim,)}
    findings = []
    for name, shape in wanted.items():
        given = tuple(getattr(batch, name).shape[1:])
        if given != shape:
            findings.append(Finding(f"The data's {name} has the shape {given}, the policy's {shape}; make them agree."))
    if batch.image is None:
        findings.append(Finding("The batches have no pictures; load them with images."))
    elif float(batch.image.float().std()) < 1.0:
        findings.append(Finding("All pictures of a batch are of one colour; are the videos black?", is_problem=False))
    if not bool(((batch.fov_rad > 0.02) & (batch.fov_rad < 3.1)).all()):
        findings.append(Finding("A field of view is outside 2 to 177 degrees; check the cameras with `vitra check`."))
    return findings


def _masks(batch: PolicyBatch) -> list[Finding]:
    findings = []
    for name in ("action", "state"):
        values, mask = getattr(batch, name), getattr(batch, f"{name}_mask")
        rows = ~torch.isfinite(values).flatten(1).all(1)
        if rows.any():
            first = int(rows.nonzero()[0])
            findings.append(
                Finding(f"Sample {batch.name[first]}, frame {int(batch.frame[first])}, has NaN or infinite {name}s.")
            )
        elif bool((values[~mask] != 0).any()):
            findings.append(Finding(f"Masked numbers of the {name} are not zero; the mask and the labels disagree."))
    learnable = batch.action_mask.flatten(1).any(1)
    if not learnable.any():
        findings.append(Finding("A whole batch has no valid action: every number is masked, nothing can be learned."))
    elif learnable.float().mean() < 0.5:
        findings.append(Finding("More than half of a batch's samples have no valid action.", is_problem=False))
    return findings


def _texts(batch: PolicyBatch, config: PolicyConfig, processor: Processor) -> list[Finding]:
    findings = []
    for text in batch.instruction:
        if not text.startswith("Left hand: ") or " Right hand: " not in text:
            findings.append(Finding(f'"{text[:60]}" is not of the form "Left hand: … Right hand: …".'))
            continue
        try:
            processor.tokens(text, config.max_instruction_tokens)
        except BadInput as error:
            findings.append(Finding(str(error)))
    nothing = sum(text == f"Left hand: {NO_INSTRUCTION} Right hand: {NO_INSTRUCTION}" for text in batch.instruction)
    if 2 * nothing > len(batch):
        findings.append(Finding("More than half of a batch's sentences give neither hand something to do.", False))
    return findings[:3]


def _rows(batches: Sequence[PolicyBatch], kind: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows, 102) normalised numbers of both hands, and their mask."""
    values = [getattr(batch, kind).reshape(-1, getattr(batch, kind).shape[-1]) for batch in batches]
    masks = [getattr(batch, f"{kind}_mask").reshape(-1, getattr(batch, f"{kind}_mask").shape[-1]) for batch in batches]
    size = _SPACE.action_dim
    return torch.cat(values)[:, :size].numpy(), torch.cat(masks)[:, :size].numpy()


def _used(std: np.ndarray, kind: str) -> np.ndarray:
    """Deviations of the numbers that the policy gets: states lose their shapes."""
    if kind == "action":
        return std
    return std.reshape(2, _SPACE.state_per_hand)[:, : _SPACE.per_hand].reshape(-1)


def _small_spread(kind: str, numbers: np.ndarray, largest: float) -> Finding:
    """A remark where these numbers never vary; a problem where they do, and so are blown up."""
    what = f"{len(numbers)} numbers of the {kind} have a deviation below {MIN_STD:g} (the first is number {numbers[0]})"
    if largest <= FAR_Z:
        return Finding(f"{what}: they hardly vary in these data, and nothing can be learned of them.", is_problem=False)
    return Finding(
        f"{what}, and lie up to {largest:.2g} deviations away: noise in them is blown up; compute the statistics from "
        "these data."
    )


def _spread(values: np.ndarray, masks: np.ndarray, kind: str) -> list[Finding]:
    """Whether normalised numbers look normalised."""
    seen = values[masks]
    seen = seen[np.isfinite(seen)]
    if len(seen) == 0:
        return []
    findings = []
    far = float((np.abs(seen) > FAR_Z).mean())
    middle, size = float(np.median(seen)), float(np.sqrt(np.mean(np.clip(seen, -FAR_Z, FAR_Z) ** 2)))
    if abs(middle) > 2 or not 0.1 < size < 4:
        findings.append(
            Finding(
                f"Normalised {kind}s have a median of {middle:.1f} and a size of {size:.2f} deviations instead of "
                "about 0 and 1: the statistics are not those of these data."
            )
        )
    elif far > FAR_SHARE:
        findings.append(
            Finding(
                f"{100 * far:.1f} % of the normalised {kind}s are more than {FAR_Z:g} deviations from the mean; look "
                "for broken labels with `vitra check`.",
                is_problem=False,
            )
        )
    return findings


def _first(batch: PolicyBatch, count: int) -> PolicyBatch:
    """The first samples of a batch that have something to learn."""
    rows = batch.action_mask.flatten(1).any(1).nonzero()[:count, 0].tolist() or list(range(min(count, len(batch))))
    picked = {}
    for name, value in vars(batch).items():
        is_tensor = isinstance(value, torch.Tensor)
        picked[name] = value[rows] if is_tensor else None if value is None else tuple(value[row] for row in rows)
    return PolicyBatch(**picked)
