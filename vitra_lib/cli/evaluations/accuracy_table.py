"""`vitra evaluate accuracy-table`: gather the records into results/tables/accuracy.md and the README's block.

Records that exist are read, not made again. With --data, what was never measured is measured first; --again NAME
measures one anew.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from vitra_lib.cli.evaluations.report import report

NAME = "accuracy-table"
HELP = "one table of everything that was measured of the default chain, from the records"

_SPLITS = {"unseen-texture": (91_000, 4, 10.0), "unseen-category": (92_000, 2, 6.0)}  # first seed, clips, seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--data", type=Path, default=None, help="real recordings; measures what has no record")
    parser.add_argument("--again", action="append", default=[], metavar="RECORD", help="measure this one anew")
    parser.add_argument("--clips-dir", type=Path, default=Path("results/work/world"), help="folder of rendered clips")
    parser.add_argument("--workers", type=int, default=1, help="processes for rendered clips")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of the records")
    parser.add_argument("--out", type=Path, default=Path("results/tables"), help="folder for accuracy.md and .json")
    parser.add_argument("--readme", type=Path, default=None, help="page whose accuracy block is written as well")


def run(args: argparse.Namespace) -> int:
    """Measure what is asked for, then gather."""
    from vitra_lib.core.errors import MissingAsset, UnknownName
    from vitra_lib.evaluation.accuracy_table import SOURCES, read_records, update_marked_block, write_accuracy_table

    measures = _measures(args)
    for name in args.again:
        if name not in measures:
            raise UnknownName("measurement that this command makes", name, measures)
    for name, measure in measures.items():
        is_missing = args.data is not None and not (args.records / f"{name}.json").is_file()
        if name in args.again or is_missing:
            try:
                measure(name)
            except MissingAsset as error:
                if name in args.again:
                    raise
                print(f"{name}: not measured. {error}")
    records = read_records(args.records)
    for path in write_accuracy_table(records, args.out):
        print(path)
    if args.readme is not None:
        print(f"{args.readme}: {'written' if update_marked_block(args.readme, records) else 'unchanged'}")
    missing = [source.record for source in SOURCES if source.record not in records]
    if missing:
        print(f"not measured: {', '.join(missing)}")
    return 0


def _measures(args: argparse.Namespace) -> dict[str, Callable[[str], None]]:
    """Record name -> what measures it; the records of `vitra evaluate reconstruction` are that command's."""
    measures: dict[str, Callable[[str], None]] = {
        f"reconstruction.world.{split}": lambda name, split=split: _world(name, split, args) for split in _SPLITS
    }
    return measures | {
        "reconstruction.aria": lambda name: _aria(name, args),
        "reconstruction.static_hand": lambda name: _static(name, args),
    }


def _world(name: str, split: str, args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.world_run import world_accuracy
    from vitra_lib.tabletop.config import ClipConfig
    from vitra_lib.tabletop.rendering import clip_configs

    seed, count, seconds = _SPLITS[split]
    clips = clip_configs(ClipConfig(seed=seed, split=split, duration_s=seconds), count, "any")
    figures = world_accuracy(clips, args.clips_dir, args.workers, progress=True)
    parameters = {"clips": count, "split": split, "seed": seed, "duration_s": seconds}
    report(name, figures, parameters, {}, args.records)


def _aria(name: str, args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.aria_device import aria_accuracy

    vrs = _given(args, "aria_gen2_hands", "aria_gen2_unit_test_sequence_with_bluetooth.vrs")
    report(name, aria_accuracy(vrs), {}, {vrs.name: vrs}, args.records)


def _static(name: str, args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.static_hand import static_hand_accuracy

    video = _given(args, "dexretarget_hand", "human_hand_video.mp4")
    joints = _given(args, "dexretarget_hand", "human_joint_right.pkl")
    figures = static_hand_accuracy(video, joints, progress=True)
    report(name, figures, {}, {video.name: video, joints.name: joints}, args.records)


def _given(args: argparse.Namespace, *parts: str) -> Path:
    from vitra_lib.core.errors import BadInput, MissingAsset

    if args.data is None:
        raise BadInput("Real recordings are measured from a folder: name it with --data.")
    path = args.data.joinpath(*parts)
    if not path.is_file():
        raise MissingAsset(f"There is no {path}: put the recording there.")
    return path
