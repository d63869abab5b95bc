"""The safety layer under siege: hostile actions against it, counted; what got through, and why it stepped in.

    python benchmarks/robot_safety.py --robots 1000 --ticks 1000

The siege and its judge are those of the tests (`tests/robot_adversary.py`): NaN, infinite, huge, flipped, stale and
replayed actions, swapped hands, wrong lengths, dead sensors, blind cameras, pushes. The judge shares no code with the
caps. A layer without its check for NaN stands beside it as the control that must fail.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from robot_adversary import Siege  # noqa: E402

from robot.safety import decide  # noqa: E402
from robot.safety.config import SafetyConfig, per_joint  # noqa: E402
from robot.safety.reasons import Reason, count  # noqa: E402
from vitra_lib.evaluation.accuracy import Figure  # noqa: E402
from vitra_lib.runs.records import write_figures_record  # noqa: E402

FAST = SafetyConfig(  # so that a siege gets somewhere; margins and ages are the defaults'
    speed_rad_s=per_joint(2.5, 8.0),
    acceleration_rad_s2=per_joint(40.0, 200.0),
    lead_rad=per_joint(0.3, 0.8),
    tracking_rad=per_joint(0.7, 1.6),
)


def without_nan_check(robots: int, ticks: int) -> int:
    """Violations of a layer that doesn't look for NaN."""
    checks = decide.PROPOSAL_CHECKS
    decide.PROPOSAL_CHECKS = tuple(pair for pair in checks if pair[0] != Reason.NON_FINITE)
    try:
        return sum(Siege(FAST, robots, seed=2).run(ticks).violations.values())
    finally:
        decide.PROPOSAL_CHECKS = checks


def main() -> None:
    """Lay siege, print, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robots", type=int, default=1000, help="attacked side by side")
    parser.add_argument("--ticks", type=int, default=1000, help="actions against each")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    began = time.process_time()
    siege = Siege(FAST, args.robots, args.seed).run(args.ticks)
    per_action = (time.process_time() - began) / siege.actions
    n = siege.actions
    figures = [
        Figure("violations", sum(siege.violations.values()), "count", n),
        Figure("actions_used", siege.used, "count", n),
        Figure("commands_sent", siege.sent, "count", n),
        Figure("stops", siege.stops, "count", n),
        Figure("control_without_nan_check_violations", without_nan_check(300, 40), "count", 12_000),
        Figure("processor_time_per_action_with_judge", per_action * 1e6, "us", n),
    ]
    figures += [Figure(f"stepped_in: {name}", met, "count", n) for name, met in sorted(count(siege.reasons).items())]
    for figure in figures:
        print(f"{figure.name:45s} {figure.value:12.1f} {figure.unit}")
    print("->", write_figures_record("robot.safety", figures, vars(args), {}, Path("results/records")))


if __name__ == "__main__":
    main()
