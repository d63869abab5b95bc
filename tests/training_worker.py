"""One process of a run, for the tests: `python training_worker.py KIND FOLDER STEPS [resume] [killed]`."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

from training_makers import CONFIG, TwelveSamples, new_policy

from vitra_lib.policy.processor import Processor
from vitra_lib.training import run_folder
from vitra_lib.training.loop import RunConfig, Training
from vitra_lib.training.parallel import joined


def main(kind: str, folder: Path, steps: int, options: list[str]) -> None:
    """Train on the twelve samples, sharing every batch with the other processes."""
    if "killed" in options:
        _kill_in_second_save()
    config = replace(CONFIG, steps=steps, parallel=kind, save_every=steps // 2)
    with joined(kind, "cpu") as ranks:
        training = Training(new_policy(), Processor(), config, RunConfig(folder, "resume" in options), ranks)
        loader = TwelveSamples(config.micro_batch(ranks.world_size), rank=ranks.rank, world_size=ranks.world_size)
        training.run(loader)


def _kill_in_second_save() -> None:
    """Let the second checkpoint be half-written when the process is killed as `kill -9` does it."""
    whole, saved = run_folder.save_policy, []

    def save_policy(*args: object) -> None:
        saved.append(args)
        if len(saved) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        whole(*args)

    run_folder.save_policy = save_policy


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
