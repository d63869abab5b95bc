"""Recipes: a grounding stage and a training stage with numbers that were tried, and the run of both.

The recipe `tiny` makes a policy that sees, out of a few hundred episodes of the synthetic world, in minutes on two
cores. The backbone starts from random weights, so everything in it learns; released backbones need no grounding.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from vitra_lib.core.errors import UnknownName
from vitra_lib.dataset import (
    AugmentationConfig,
    LoaderConfig,
    Normaliser,
    SampleConfig,
    SampleSource,
    TrainingLoader,
    TrainingSamples,
    ViewConfig,
    source_statistics,
)
from vitra_lib.policy.checkpoint import save_policy
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import REL_MODE, STATISTICS
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import TrainingConfig
from vitra_lib.training.grounding import Grounding, GroundingConfig, widen_initial_weights
from vitra_lib.training.loop import RunConfig, Training
from vitra_lib.training.parallel import Ranks
from vitra_lib.training.presets import preset

RECIPES = ("tiny",)
POLICY, GROUNDING, TRAINING = "policy", "grounding", "training"


@dataclass(frozen=True)
class Recipe:
    """Two stages and the samples that they learn from.

    Attributes:
        profile: sizes of the policy.
        sample: what a sample holds; mild views of the source picture, since there are only a few hundred scenes.
        grounding: the first stage.
        grounding_batch: samples per step of it.
        training: the second stage: diffusion.
        seed: of weights, order, views and noise.
    """

    profile: str
    sample: SampleConfig
    grounding: GroundingConfig
    grounding_batch: int
    training: TrainingConfig
    seed: int = 0

    @classmethod
    def named(cls, name: str, seed: int = 0) -> "Recipe":
        """A recipe by name.

        Raises:
            UnknownName: there is none of that name.
        """
        if name not in RECIPES:
            raise UnknownName("recipe", name, RECIPES)
        return cls.tiny(seed)

    @classmethod
    def tiny(cls, seed: int = 0) -> "Recipe":
        """Seven minutes of one core: 300 steps of grounding, 500 of diffusion."""
        view = ViewConfig(
            aspect=(1.2, 1.5), fov_relative=(0.6, 1.0), max_roll_rad=math.radians(12), flip_probability=0.0
        )
        return cls(
            profile="tiny",
            sample=SampleConfig(augmentation=AugmentationConfig(view=view, colour=None), image_height_px=112),
            grounding=GroundingConfig(steps=300, precision="bf16", seed=seed, save_every=100),
            grounding_batch=32,
            training=TrainingConfig.from_dict(preset("tiny", 500) | {"seed": seed}),
            seed=seed,
        )

    def with_seed(self, seed: int) -> "Recipe":
        """The same with another seed."""
        return replace(
            self, grounding=replace(self.grounding, seed=seed), training=replace(self.training, seed=seed), seed=seed
        )

    def shortened(self, grounding_steps: int, training_steps: int) -> "Recipe":
        """The same with other numbers of steps."""
        return replace(
            self,
            grounding=replace(self.grounding, steps=grounding_steps),
            training=replace(self.training, steps=training_steps),
        )


@dataclass(frozen=True)
class RecipeRun:
    """Where a recipe runs.

    Attributes:
        folder: gets `grounding/`, `training/` and, at the end, `policy/`.
        resume: go on with what is there.
        facts: kept in the policy's checkpoint besides its statistics.
        progress: show bars.
    """

    folder: Path
    resume: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    progress: bool = False


def follow(recipe: Recipe, source: SampleSource, run: RecipeRun) -> tuple[Policy, Normaliser]:
    """Ground and train a policy; killed and resumed it gives the same weights.

    Args:
        recipe: what to do.
        source: the data set.
        run: where.

    Returns:
        The policy with averaged weights, and what its states and actions are normalised by; both are also in
        `folder/policy`, the weights in bfloat16.

    Raises:
        BadInput: the folder holds another run, or the data set can't be read.
        TrainingStopped: the loss is not finite or jumped.
    """
    normaliser = source_statistics(source, recipe.sample, recipe.seed).normaliser(source.name)
    processor = Processor()
    torch.manual_seed(recipe.seed)
    policy = Policy(processor.policy_config(recipe.profile))
    widen_initial_weights(policy, recipe.seed)
    facts = {STATISTICS: normaliser.to_official(), REL_MODE: recipe.sample.rel_mode, **run.facts}

    def batches(size: int, seed: int) -> TrainingLoader:
        samples = TrainingSamples([source], recipe.sample, normaliser, seed)
        return TrainingLoader(samples, None, LoaderConfig(size))

    def kept(stage: str) -> RunConfig:
        return RunConfig(run.folder / stage, run.resume, facts, run.progress)

    grounding = Grounding(policy, processor, normaliser, recipe.grounding, kept(GROUNDING))
    grounding.run(batches(recipe.grounding_batch, recipe.seed))
    ranks = Ranks(0, 1, policy.device, "none")
    training = Training(policy, processor, recipe.training, kept(TRAINING), ranks)
    policy = training.run(batches(recipe.training.batch_size, recipe.seed + 1))
    save_policy(policy, run.folder / POLICY, facts, dtype=torch.bfloat16)
    return policy.eval(), normaliser
