"""Fine-tuning a policy on demonstrations of a robot: the training loop of pretraining with a robot's samples and loss.

The robot's numbers stand where the human's do (its table of joints says where), normalised by the robot's own
statistics, so a policy that was pretrained on human hands goes on without a new layer (paper section on the robot).
"""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from robot.learning.data import (
    BatchesConfig,
    DemonstrationBatches,
    common_rate,
    split_demonstrations,
    unified_statistics,
)
from robot.serving.hand_policy import UNMAPPED_FINGERS
from robot.teleop.files import TeleData
from robot.teleop.samples import TeleSampleConfig, TeleSamples
from robot.teleop.statistics import tele_statistics
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.core.files import sha256_of, write_json
from vitra_lib.dataset import Normaliser, read_statistics
from vitra_lib.policy.checkpoint import WEIGHTS, load_policy, save_policy
from vitra_lib.policy.config import LossConfig
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import REL_MODE, STATISTICS
from vitra_lib.policy.processor import Processor
from vitra_lib.training import preflight
from vitra_lib.training.config import OptimizerConfig, TrainingConfig
from vitra_lib.training.data import STATISTICS_FILE
from vitra_lib.training.grounding import widen_initial_weights
from vitra_lib.training.loop import RunConfig, Training
from vitra_lib.training.parallel import Ranks
from vitra_lib.training.presets import preset

_log = logging.getLogger(__name__)
RECIPES = ("tiny", "small", "paper")
STEPS = {"tiny": 300, "small": 4000, "paper": 20_000}
POLICY = "policy"
HELD_OUT, FRAME_RATE, STARTED_FROM = "held_out", "fps", "started_from"
"""Names, among the facts of a checkpoint, of the demonstrations kept back, their rate, and the policy it began with."""


@dataclass(frozen=True)
class FinetuneConfig:
    """What is trained, and how.

    Attributes:
        profile: sizes of the policy.
        training: steps, rates, and the robot's loss: 1.6 for the wrist, 0.4 for the fingers (spec of the model, 5.5).
        batches: order and changes; its batch size is that of the training.
        unmapped: what happens to human finger angles that no joint copies: "masked", or the official "zero".
        held_out: share of the demonstrations that is only scored on.
    """

    profile: str
    training: TrainingConfig
    batches: BatchesConfig = field(default_factory=BatchesConfig)
    unmapped: str = "masked"
    held_out: float = 0.1

    def __post_init__(self) -> None:
        TeleSampleConfig(unmapped=self.unmapped)
        if not 0 <= self.held_out < 1:
            raise BadInput(f"held_out is {self.held_out}: it is a share from 0 to below 1.")

    @classmethod
    def recipe(cls, name: str, steps: int | None = None, seed: int = 0) -> "FinetuneConfig":
        """A recipe by name: "tiny" (minutes on two cores), "small", or "paper" (20,000 steps of 256 samples at 1e-5).

        Args:
            name: of the recipe, which is that of the profile.
            steps: in place of the recipe's.
            seed: of order, changes and noise.

        Raises:
            UnknownName: there is none of that name.
        """
        if name not in RECIPES:
            raise UnknownName("recipe", name, RECIPES)
        steps = steps or STEPS[name]
        values = preset(name, steps) | {"seed": seed, "log_every": max(1, min(10, steps // 25))}
        if name == "paper":
            rates = OptimizerConfig(1e-5, 1e-5, beta2=0.95, schedule="constant", warmup_steps=0)
            values |= {"batch_size": 256, "optimizer": rates, "loss": LossConfig.robot()}
        else:
            robot = LossConfig.robot()
            repeats = values["loss"]["diffusion_repeats"]
            values |= {"loss": replace(robot, diffusion_repeats=repeats), "validate_every": max(1, steps // 5)}
        return cls(name, TrainingConfig.from_dict(values), BatchesConfig(seed=seed))


@dataclass(frozen=True)
class FinetuneRun:
    """Where a run is kept and what it starts from.

    Attributes:
        folder: gets run.json, statistics.json, log.jsonl, checkpoints/, best/ and, at the end, policy/.
        start: checkpoint of a pretrained policy; None starts from random weights.
        resume: go on with what is there.
        checks: look at the first batches before anything is learned.
        progress: show a bar.
        tokenizer: folder of a PaliGemma checkpoint whose tokenizer is used; the shipped one when None.
    """

    folder: Path
    start: Path | None = None
    resume: bool = False
    checks: bool = True
    progress: bool = False
    tokenizer: Path | None = None


@dataclass(frozen=True, eq=False)
class Finetuned:
    """What a run left.

    Attributes:
        policy: folder of the checkpoint, ready for `vitra robot evaluate`, `vitra robot run` and `vitra serve`.
        held_out: names of the demonstrations that were kept back.
        speed: of the training, by name.
        remarks: what the checks noticed.
    """

    policy: Path
    held_out: tuple[str, ...]
    speed: dict[str, float]
    remarks: tuple[str, ...]


def finetune(demonstrations: Path, config: FinetuneConfig, run: FinetuneRun, ranks: Ranks | None = None) -> Finetuned:
    """Fine-tune a policy; killed and resumed it gives the same weights.

    Args:
        demonstrations: folder of TeleData.
        config: what is trained.
        run: where, and from what.
        ranks: this process's place among several; alone on the CPU when None.

    Raises:
        BadInput: broken demonstrations, a checkpoint of another profile, or a folder that holds another run.
        PreflightFailed: the checks found what would spoil the run.
        TrainingStopped: the loss left the rails.
    """
    ranks = ranks or Ranks(0, 1, torch.device("cpu"), "none")
    if (run.folder / "run.json").exists() and not run.resume:
        raise BadInput(f"{run.folder} already holds a run; go on with --resume, or name another folder.")
    processor = Processor(run.tokenizer)
    policy = _start(config, run, processor).to(ranks.device)
    learned, kept = split_demonstrations(TeleData.open(demonstrations), config.held_out, config.training.seed)
    normaliser = _statistics(learned, run, ranks)
    facts = _facts(learned, kept, normaliser, config, run)
    batches, held_out = _batches(learned, kept, normaliser, config, policy.config.denoiser.chunk, ranks)
    try:
        remarks: tuple[str, ...] = ()
        if run.checks and not run.resume and ranks.is_first:
            remarks = _checked(batches, policy, processor, config, (normaliser, float(facts[FRAME_RATE])))
        ranks.wait()
        kept_as = RunConfig(run.folder, run.resume, facts, run.progress)
        training = Training(policy, processor, config.training, kept_as, ranks)
        policy = training.run(batches, held_out)
    finally:
        batches.close()
    if ranks.is_first and config.training.parallel != "fsdp":
        save_policy(policy, run.folder / POLICY, facts | {"steps": config.training.steps}, dtype=torch.bfloat16)
    last = run.folder / "checkpoints" / f"step-{config.training.steps:08d}" / POLICY
    done = last if config.training.parallel == "fsdp" else run.folder / POLICY
    return Finetuned(done, tuple(facts[HELD_OUT]), training.speed, remarks)


def _start(config: FinetuneConfig, run: FinetuneRun, processor: Processor) -> Policy:
    """The policy to begin with: a checkpoint, or the random weights that pretraining begins with too."""
    torch.manual_seed(config.training.seed)
    if run.start is not None:
        return load_policy(run.start, config.profile)
    policy = Policy(processor.policy_config(config.profile))
    if config.profile != "paper":  # made for widths of thousands, transformers' own leave a small backbone blind
        widen_initial_weights(policy, config.training.seed)
    return policy


def _statistics(learned: TeleData, run: FinetuneRun, ranks: Ranks) -> Normaliser:
    """Of the demonstrations that are learned from; a run that goes on keeps its own."""
    path = run.folder / STATISTICS_FILE
    if ranks.is_first and not (run.resume and path.exists()):
        write_json(path, tele_statistics(learned, learned.root.resolve().name).to_official())
    ranks.wait()
    return read_statistics(path)


def _facts(
    learned: TeleData, kept: TeleData | None, normaliser: Normaliser, config: FinetuneConfig, run: FinetuneRun
) -> dict[str, Any]:
    """What the checkpoint tells: all that asking it on a robot needs, and where it comes from."""
    start = None if run.start is None else {"name": run.start.name, "sha256": sha256_of(run.start / WEIGHTS)}
    return {
        STATISTICS: normaliser.to_official(),
        REL_MODE: "step",
        UNMAPPED_FINGERS: config.unmapped,
        FRAME_RATE: common_rate(learned),
        HELD_OUT: list(kept.names) if kept is not None else [],
        "demonstrations": len(learned),
        STARTED_FROM: start,
        "seed": config.training.seed,
    }


def _batches(
    learned: TeleData,
    kept: TeleData | None,
    normaliser: Normaliser,
    config: FinetuneConfig,
    chunk: int,
    ranks: Ranks,
) -> tuple[DemonstrationBatches, list]:
    """Batches to learn from, and those of the demonstrations that were kept back."""
    size = config.training.micro_batch(ranks.world_size)
    samples = TeleSampleConfig(chunk, config.unmapped)
    shape = replace(config.batches, batch_size=size)
    batches = DemonstrationBatches(
        TeleSamples(learned, normaliser, config=samples), shape, ranks.world_size, ranks.rank
    )
    if kept is None:
        return batches, []
    others = DemonstrationBatches(TeleSamples(kept, normaliser, config=samples), replace(shape, batch_size=1))
    held_out = others.plain(size, config.training.validation_batches * ranks.world_size)[ranks.rank :: ranks.world_size]
    others.close()
    return batches, held_out


def _checked(
    batches: DemonstrationBatches,
    policy: Policy,
    processor: Processor,
    config: FinetuneConfig,
    known: tuple[Normaliser, float],
) -> tuple[str, ...]:
    """The checks of pretraining on the first batches; the statistics are looked at where the policy has them."""
    normaliser, fps = known
    some = batches.plain(min(32, config.training.batch_size), 4)
    findings = preflight.check_batches(some, policy.config, processor)
    findings += preflight.check_timing([fps], policy.config.denoiser.chunk)
    if not any(finding.is_problem for finding in findings):
        findings += preflight.check_statistics(some, unified_statistics(normaliser))
    if not any(finding.is_problem for finding in findings):
        findings += preflight.check_overfit(policy, processor, some[0], config.training)
    return tuple(preflight.report(findings))
