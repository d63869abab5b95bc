"""Speed of the training step at a profile, and the share of time that it waits for data, with and without a worker.

    python benchmarks/training_speed.py DATASET --steps 20

DATASET is a folder of episodes, the pipeline's own ("vitra build"), read by the real loader with augmentation. A run of
every number of workers starts from the same new policy; the first steps, in which workers start, are counted.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported

import torch  # noqa: E402

from vitra_lib.dataset import AugmentationConfig, SampleConfig  # noqa: E402
from vitra_lib.policy.policy import Policy  # noqa: E402
from vitra_lib.policy.processor import Processor  # noqa: E402
from vitra_lib.runs.records import write_figures_record  # noqa: E402
from vitra_lib.training.config import TrainingConfig  # noqa: E402
from vitra_lib.training.data import DataConfig, open_data  # noqa: E402
from vitra_lib.training.log import summary  # noqa: E402
from vitra_lib.training.loop import RunConfig, Training  # noqa: E402
from vitra_lib.training.parallel import Ranks  # noqa: E402
from vitra_lib.training.presets import preset  # noqa: E402


class Figure(NamedTuple):
    """One value of the record."""

    name: str
    value: float
    unit: str
    n: int
    ci95: None = None


def speed(dataset: Path, profile: str, steps: int, workers: int, folder: Path) -> dict[str, float]:
    """Figures of one run."""
    ranks = Ranks(0, 1, torch.device("cpu"), "none")
    config = replace(TrainingConfig.from_dict(preset(profile, steps)), save_every=10**9)
    processor = Processor()
    torch.manual_seed(0)
    policy = Policy(processor.policy_config(profile))
    sample = SampleConfig(augmentation=AugmentationConfig(), state_dropout=0.1)
    data = open_data(DataConfig((str(dataset),), None, sample, None, workers, 0), folder / "data", ranks, False)
    loader = data.loader(config.micro_batch(1), ranks)
    try:
        training = Training(policy, processor, config, RunConfig(folder / "run"), ranks)
        training.run(loader)
    finally:
        loader.close()
        data.close()
    return training.speed


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of episodes")
    parser.add_argument("--profile", default="tiny", help="tiny or small")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps of every run")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="worker processes to compare")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    figures = []
    units = {"samples_per_s": "1/s", "data_wait": "1", "mfu": "1", "peak_memory_gb": "GB"}
    for workers in args.workers:
        with tempfile.TemporaryDirectory() as folder:
            found = speed(args.dataset, args.profile, args.steps, workers, Path(folder))
        print(f"  {workers} workers: {summary(found)}", flush=True)
        figures += [
            Figure(f"{name}, {workers} workers", value, units[name], args.steps) for name, value in found.items()
        ]
    parameters = {"profile": args.profile, "steps": args.steps, "workers": args.workers, "device": "cpu"}
    parameters |= {"torch_threads": torch.get_num_threads(), "load_at_start": os.getloadavg()[0]}
    name = f"training_speed.{args.profile}"
    print(f"  -> {write_figures_record(name, figures, parameters, {'dataset': args.dataset}, args.records)}")


if __name__ == "__main__":
    main()
