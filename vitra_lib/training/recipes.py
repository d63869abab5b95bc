"""Recipes: two grounding stages and a training stage with numbers that were tried, and the run of all three.

The recipe `tiny` makes a policy that sees, out of a few thousand pictures and a few hundred episodes of the synthetic
world, in minutes on two cores. The backbone starts from random weights, so everything in it learns; released backbones
need no grounding.
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
from vitra_lib.pipeline.world_pictures import NamedPictures
from vitra_lib.policy.checkpoint import load_policy, save_policy
from vitra_lib.policy.denoiser import Denoiser
from vitra_lib.policy.policy import Policy
from vitra_lib.policy.predict import REL_MODE, STATISTICS
from vitra_lib.policy.processor import Processor
from vitra_lib.training.config import TrainingConfig
from vitra_lib.training.denoising import DenoisingConfig
from vitra_lib.training.grounding import Grounding, GroundingConfig, widen_initial_weights
from vitra_lib.training.loop import RunConfig, Training
from vitra_lib.training.parallel import Ranks
from vitra_lib.training.pictures import PictureLoader
from vitra_lib.training.presets import preset

RECIPES = ("tiny",)
SEEING, BINDING, GROUNDED, TRAINING, POLICY = "seeing", "binding", "grounded", "training", "policy"


@dataclass(frozen=True)
class Recipe:
    """Three stages and the samples that the last one learns from.

    Attributes:
        profile: sizes of the policy.
        seeing, binding: the two grounding stages.
        sample: what a sample of the training stage holds; mild views of the source picture, since there are only a
            few hundred scenes.
        training: the last stage: diffusion, of the whole policy.
        denoising: what takes its place in studies of many runs: the denoiser alone.
        seed: of weights, order, views and noise.
    """

    profile: str
    seeing: GroundingConfig
    binding: GroundingConfig
    sample: SampleConfig
    training: TrainingConfig
    denoising: DenoisingConfig = DenoisingConfig()
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
        """Eight minutes of one core: 800 steps of seeing, 400 of binding, 400 of diffusion.

        A grounded backbone learns slowly in the last stage, so that the denoiser's first, blind gradients do not make
        it forget.
        """
        view = ViewConfig(
            aspect=(1.3, 1.36), fov_relative=(0.85, 1.0), max_roll_rad=math.radians(5), flip_probability=0.0
        )
        preset_values = preset("tiny", 400)
        rates = preset_values["optimizer"] | {"backbone_lr": 1e-4}
        both = {"precision": "bf16", "seed": seed, "save_every": 200}
        return cls(
            profile="tiny",
            seeing=GroundingConfig("seeing", steps=800, learning_rate=3e-3, **both),
            binding=GroundingConfig("binding", steps=400, **both),
            sample=SampleConfig(augmentation=AugmentationConfig(view=view, colour=None), image_height_px=112),
            training=TrainingConfig.from_dict(preset_values | {"seed": seed, "optimizer": rates}),
            denoising=DenoisingConfig(steps=400, seed=seed),
            seed=seed,
        )

    def with_seed(self, seed: int) -> "Recipe":
        """The same with another seed of the last stage; the grounding stages stay."""
        changed = replace(self.training, seed=seed), replace(self.denoising, seed=seed)
        return replace(self, training=changed[0], denoising=changed[1], seed=seed)

    def shortened(self, seeing_steps: int, binding_steps: int, training_steps: int) -> "Recipe":
        """The same with other numbers of steps."""
        return replace(
            self,
            seeing=replace(self.seeing, steps=seeing_steps),
            binding=replace(self.binding, steps=binding_steps),
            training=replace(self.training, steps=training_steps),
            denoising=replace(self.denoising, steps=training_steps),
        )


@dataclass(frozen=True)
class RecipeRun:
    """Where a recipe runs.

    Attributes:
        folder: gets the stages' folders and their results.
        resume: go on with what is there.
        facts: kept in the policy's checkpoint besides its statistics.
        progress: show bars.
    """

    folder: Path
    resume: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    progress: bool = False


def ground(recipe: Recipe, pictures: NamedPictures, run: RecipeRun) -> Policy:
    """Teach a backbone of random weights to see and to bind; killed and resumed it gives the same weights.

    Args:
        recipe: what to do.
        pictures: to learn from.
        run: where; gets `seeing/`, `binding/` and, at the end, `grounded/`, a policy whose denoiser knows nothing yet.

    Returns:
        The policy.

    Raises:
        BadInput: the folder holds another run.
        TrainingStopped: a loss is not finite.
    """
    processor = Processor()
    torch.manual_seed(recipe.binding.seed)
    policy = Policy(processor.policy_config(recipe.profile))
    widen_initial_weights(policy, recipe.binding.seed)
    for stage, config in ((SEEING, recipe.seeing), (BINDING, recipe.binding)):
        kept = RunConfig(run.folder / stage, run.resume, run.facts, run.progress)
        loader = PictureLoader(pictures, config.batch, config.seed, asks_all=stage == BINDING)
        Grounding(policy, processor, loader, config, kept).run()
    save_policy(policy, run.folder / GROUNDED, run.facts)
    return policy


def train(recipe: Recipe, grounded: Path, source: SampleSource, run: RecipeRun) -> tuple[Policy, Normaliser]:
    """Train a grounded policy on episodes; killed and resumed it gives the same weights.

    Args:
        recipe: what to do; its seed gives the denoiser other first weights.
        grounded: folder of the policy to start from.
        source: the data set.
        run: where; gets `training/` and, at the end, `policy/`, the averaged weights in bfloat16.

    Returns:
        The policy with averaged weights, and what its states and actions are normalised by.

    Raises:
        BadInput: the folder holds another run, or the data set can't be read.
        TrainingStopped: the loss is not finite or jumped.
    """
    normaliser = source_statistics(source, recipe.sample, recipe.seed).normaliser(source.name)
    facts = {STATISTICS: normaliser.to_official(), REL_MODE: recipe.sample.rel_mode, **run.facts}
    policy = load_policy(grounded, recipe.profile)
    torch.manual_seed(recipe.seed)
    policy.denoiser = Denoiser(policy.config.denoiser)
    samples = TrainingSamples([source], recipe.sample, normaliser, recipe.seed)
    loader = TrainingLoader(samples, None, LoaderConfig(recipe.training.batch_size))
    kept = RunConfig(run.folder / TRAINING, run.resume, facts, run.progress)
    policy = Training(policy, Processor(), recipe.training, kept, Ranks(0, 1, policy.device, "none")).run(loader)
    save_policy(policy, run.folder / POLICY, facts, dtype=torch.bfloat16)
    return policy.eval(), normaliser
