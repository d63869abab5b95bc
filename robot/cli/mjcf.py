"""`vitra robot mjcf --out FILE`: the simulated rig as an MJCF file, for MuJoCo's own viewer and other tools."""

import argparse
from pathlib import Path

NAME = "mjcf"
HELP = "write the simulated arm with its hand as an MJCF file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-verb."""
    parser.add_argument("--side", choices=("left", "right"), default="right", help="which hand (default: right)")
    parser.add_argument("--variant", default="RM75-6F", help="of the arm (default: RM75-6F)")
    parser.add_argument("--out", type=Path, required=True, help="the XML file to write")


def run(args: argparse.Namespace) -> int:
    """Build, check that it compiles, write."""
    from robot.simulation.config import RigConfig
    from robot.simulation.rig import rig_spec
    from vitra_lib.core.files import write_text

    spec = rig_spec(RigConfig(side=args.side, variant=args.variant))
    model = spec.compile()
    write_text(args.out, spec.to_xml())
    print(
        f"{model.njnt} joints, {model.nu} servos, {model.ngeom} shapes, {model.body_mass.sum():.2f} kg with the table"
    )
    print(args.out)
    return 0
