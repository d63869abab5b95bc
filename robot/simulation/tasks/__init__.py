"""The task families: scenes to begin with, and success judged by physics alone."""

import importlib
from types import ModuleType

from robot.simulation.physics import Simulation
from robot.simulation.scene import Scene
from robot.simulation.tasks.outcome import Outcome
from vitra_lib.core.errors import UnknownName

__all__ = ["TASKS", "Outcome", "outcome", "sample_scene"]

TASKS: tuple[str, ...] = ("pick-place", "functional-grasp", "pour", "sweep")


def sample_scene(task: str, seed: int, split: str = "seen") -> Scene:
    """A scene of a task.

    Args:
        task: one of `TASKS`.
        seed: of everything in it.
        split: one of `robot.simulation.scene.SPLITS`.

    Raises:
        UnknownName: no such task or split.
    """
    return _module(task).sample(seed, split)


def outcome(simulation: Simulation, scene: Scene) -> Outcome:
    """What has become of a trial, by poses, speeds and contacts.

    Args:
        simulation: the trial now.
        scene: what it began with.
    """
    return _module(scene.task).outcome(simulation, scene)


def _module(task: str) -> ModuleType:
    if task not in TASKS:
        raise UnknownName("task", task, TASKS)
    return importlib.import_module(f"{__name__}.{task.replace('-', '_')}")
