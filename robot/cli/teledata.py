"""`vitra robot teledata check|statistics|convert FOLDER`: teleoperated episodes in the layout of VITRA-TeleData."""

import argparse
from pathlib import Path

NAME = "teledata"
HELP = "check, count or convert a folder of teleoperated episodes (HDF5 and mp4)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One sub-command per action."""
    actions = parser.add_subparsers(title="actions", dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="look for faults; exit code 1 if there are any")
    check.add_argument("--arm", default="RM75-6F", help="variant of the arm (default: RM75-6F)")
    check.add_argument("--no-video", action="store_true", help="leave the videos alone")
    statistics = actions.add_parser("statistics", help="mean and deviation of states and steps, 18 numbers per hand")
    statistics.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    convert = actions.add_parser("convert", help="write an episode store (a LeRobot v3.0 dataset)")
    convert.add_argument("--out", type=Path, required=True, help="the store to make; must not exist")
    for parser_ in (check, statistics, convert):
        parser_.add_argument("folder", type=Path, help="the folder that holds annotation/ and videos/")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    return {"check": _check, "statistics": _statistics, "convert": _convert}[args.action](args)


def _check(args: argparse.Namespace) -> int:
    from robot.teleop.check import Fault, TeleCheckConfig, check_tele, count_reasons
    from robot.teleop.files import TeleData
    from vitra_lib.core.errors import BadInput

    data, config, all_faults = TeleData.open(args.folder), TeleCheckConfig(arm_variant=args.arm), []
    for number, name in enumerate(data.names):
        try:
            faults = check_tele(data[number], None if args.no_video else data.video(name), config)
        except BadInput as error:
            faults = (Fault("unreadable", "file", str(error)),)
        all_faults += faults
        for fault in faults:
            print(f"{name}: {fault.reason}: {fault.where}: {fault.detail}")
    reasons = ", ".join(f"{count} {reason}" for reason, count in count_reasons(all_faults).items())
    print(f"{len(data)} episodes, {len(all_faults)} faults{': ' if reasons else ''}{reasons}")
    return 1 if all_faults else 0


def _statistics(args: argparse.Namespace) -> int:
    from robot.teleop.files import TeleData
    from robot.teleop.statistics import tele_statistics
    from vitra_lib.dataset.normalisation import write_statistics

    data = TeleData.open(args.folder)
    found = tele_statistics(data, args.folder.resolve().name)
    write_statistics(args.out, found)
    print(f"{len(data)} episodes, {found.count} frames")
    print(args.out)
    return 0


def _convert(args: argparse.Namespace) -> int:
    from robot.teleop.convert import convert_teledata

    store = convert_teledata(args.folder, args.out)
    print(f"{len(store)} episodes, {store.total_frames} frames")
    print(args.out)
    return 0
