"""The README's picture of the robot: the expert at each of the four tasks, as the head camera sees it.

    .venv/bin/python benchmarks/robot_figure.py --seed 1

writes results/figures/robot.jpg: one row per task, from its beginning to its end.
"""

import argparse
from pathlib import Path

import numpy as np

from robot.simulation.expert import run_expert
from robot.simulation.physics import Simulation
from robot.simulation.tasks import TASKS, sample_scene
from robot.simulation.view import SceneView
from vitra_lib.core.files import atomic_path
from vitra_lib.core.paths import results_folder
from vitra_lib.plotting import contact_picture

_TILES, _TILE_PX = 5, (320, 240)


def row(task: str, seed: int) -> list[np.ndarray]:
    """Pictures of one trial, evenly in time."""
    demonstration = run_expert(sample_scene(task, seed))
    simulation, view = Simulation(demonstration.scene), SceneView(demonstration.scene)
    pictures = []
    for frame in np.linspace(0, len(demonstration.snapshots) - 1, _TILES).astype(int):
        simulation.restore(demonstration.snapshots[frame])
        pictures.append(view.picture(simulation, *_TILE_PX).image)
    print(f"{task}: {demonstration.scene.instruction} {demonstration.outcome.reason}")
    return pictures


def main() -> None:
    """Draw and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="of the scenes")
    args = parser.parse_args()
    pictures = [picture for task in TASKS for picture in row(task, args.seed)]
    path: Path = results_folder() / "figures" / "robot.jpg"
    with atomic_path(path) as temporary:
        temporary.write_bytes(contact_picture(pictures, columns=_TILES, width_px=1300)._repr_jpeg_())
    print("->", path)


if __name__ == "__main__":
    main()
