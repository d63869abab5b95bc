"""The arm: forward kinematics against the maker's library, and how often and how fast the inverse reaches its target.

    python benchmarks/arm_kinematics.py --reference rm75_vendor_fk_reference.json

Targets are poses of random joint angles within the limits; the search starts a given spread away from them, as it does
on a robot (small) or from anywhere (large). One iteration stands beside it as the control that must fail. Speeds are
ratios of one target at a time against all at once, measured side by side.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from robot.arm import IkConfig, load_arm, solve_ik
from vitra_lib.evaluation.accuracy import Figure
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.runs.records import write_figures_record

ONE_BY_ONE = 30


def forward_figures(path: Path) -> list[Figure]:
    """Largest differences to the maker's library, for each variant that the file has."""
    figures = []
    for variant, rows in json.loads(path.read_text(encoding="utf-8"))["variants"].items():
        T = load_arm(variant).forward(np.deg2rad([row["joint_deg"] for row in rows]))
        R = Rotation.from_quat(np.array([row["quat_wxyz"] for row in rows])[:, [1, 2, 3, 0]]).as_matrix()
        apart = np.linalg.norm(T[:, :3, 3] - [row["position_m"] for row in rows], axis=1).max()
        turned = np.rad2deg(geodesic_angle(T[:, :3, :3], R).max())
        figures.append(Figure(f"{variant}_position_error_max", float(apart) * 1e3, "mm", len(rows)))
        figures.append(Figure(f"{variant}_rotation_error_max", float(turned), "deg", len(rows)))
    return figures


def inverse_figures(targets: int, seed: int) -> list[Figure]:
    """Share of targets reached from near and far, and the gain of solving a batch at once."""
    arm, rng, figures = load_arm(), np.random.default_rng(seed), []
    q = rng.uniform(arm.tree.lower, arm.tree.upper, (targets, len(arm)))
    goals = arm.forward(q)
    for spread in (0.1, 0.3, 1.0):
        start = q + rng.normal(0, spread, q.shape)
        found = solve_ik(arm, goals, start)
        outside = (found.q < arm.tree.lower) | (found.q > arm.tree.upper)
        figures.append(Figure(f"reached_from_{spread}_rad", float(found.is_reached.mean()), "share", targets))
        figures.append(Figure(f"beyond_a_limit_from_{spread}_rad", float(outside.any(1).mean()), "share", targets))
    control = solve_ik(arm, goals, start, IkConfig(iterations=1))
    figures.append(Figure("control_one_iteration_reached", float(control.is_reached.mean()), "share", targets))
    start = q + rng.normal(0, 0.05, q.shape)
    began = time.perf_counter()
    for i in range(ONE_BY_ONE):
        solve_ik(arm, goals[i], start[i])
    single = (time.perf_counter() - began) / ONE_BY_ONE
    began = time.perf_counter()
    solve_ik(arm, goals, start)
    batch = (time.perf_counter() - began) / targets
    figures.append(Figure("one_target_alone", single * 1e3, "ms", ONE_BY_ONE))
    figures.append(Figure("gain_of_a_batch", single / batch, "ratio", targets))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, default=None, help="pairs of the maker's library (JSON)")
    parser.add_argument("--targets", type=int, default=1000, help="random targets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    args = parser.parse_args()
    figures = [] if args.reference is None else forward_figures(args.reference)
    figures += inverse_figures(args.targets, args.seed)
    for figure in figures:
        print(f"{figure.name:34s} {figure.value:12.6f} {figure.unit:6s} n={figure.n}")
    inputs = {} if args.reference is None else {"reference": args.reference}
    parameters = {"targets": args.targets, "seed": args.seed}
    print(write_figures_record("robot.arm_kinematics", figures, parameters, inputs, args.records))


if __name__ == "__main__":
    main()
