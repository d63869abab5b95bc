"""`vitra evaluate segmentation`: action boundaries against truth, beside fixed cuts, naive minima and chance.

The world's true tracks need nothing but time. Everything else is read from folders that you name: rendered clips (they
are reconstructed once), labelled demonstrations, phase labels, an official episode.
"""

import argparse
from pathlib import Path

NAME = "segmentation"
HELP = "action boundaries: the world, and labelled real recordings, beside fixed cuts and chance"

WORLD_SEED = 80_000  # no default of the segmentation was chosen on seeds from here on
FRAME_S = 1 / 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--clips", type=int, default=40, help="clips of the world, planned but not rendered; 0 = none")
    parser.add_argument("--seed", type=int, default=WORLD_SEED, help="first seed of these clips")
    parser.add_argument("--split", default="unseen-object", help="split of the world they are from")
    parser.add_argument(
        "--noise", nargs="+", default=None, metavar="LEVEL", help="levels of noise on their tracks (default: all)"
    )
    parser.add_argument(
        "--clips-dir", type=Path, default=None, metavar="DIR", help="rendered clips of the world, to be reconstructed"
    )
    parser.add_argument(
        "--tracks-dir",
        type=Path,
        default=Path("results/work/segmentation"),
        metavar="DIR",
        help="their reconstructions, one <clip>.npz each; those that are there are used as they are",
    )
    parser.add_argument(
        "--icsc", type=Path, default=None, metavar="DIR", help="labelled demonstrations (ICSC-HMM, .mat)"
    )
    parser.add_argument("--ssv2", type=Path, default=None, metavar="DIR", help="phase labels and hand boxes (SSv2)")
    parser.add_argument("--annotation", type=Path, default=None, metavar="FILE", help="an official .npy episode")
    parser.add_argument("--fps", type=float, default=30.0, help="frame rate of that episode's video [1/s]")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the records")


def run(args: argparse.Namespace) -> int:
    """Score, print tables, write records."""
    from vitra_lib.core.errors import BadInput

    steps = {"clips": _world, "clips_dir": _reconstructed, "icsc": _icsc, "ssv2": _ssv2, "annotation": _episode}
    wanted = [step for name, step in steps.items() if getattr(args, name)]
    if not wanted:
        raise BadInput("Nothing to measure: give --clips, --clips-dir, --icsc, --ssv2 or --annotation.")
    for step in wanted:
        step(args)
    return 0


def _show(title: str, scores, tolerance_s: float) -> None:
    from vitra_lib.evaluation.segmentation_run import table_of

    print(f"\n{title}, tolerance {tolerance_s:.3g} s")
    print(f"  {'rule':44s} precision  recall     F1  cuts/true    mAP")
    for rule, *values in table_of(scores, tolerance_s):
        columns = zip(values, (9, 7, 6, 10, 6), strict=True)
        print(f"  {rule:44s}" + "".join(f" {value:{width}.3f}" for value, width in columns))


def _world(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vitra_lib.core.errors import UnknownName
    from vitra_lib.evaluation import segmentation_rules as rules
    from vitra_lib.evaluation.segmentation_run import figures_of, paired_difference, score_rules
    from vitra_lib.evaluation.segmentation_sources import world_recordings
    from vitra_lib.tabletop.config import ClipConfig
    from vitra_lib.tabletop.generate import generate_clip
    from vitra_lib.tabletop.rendering import clip_configs

    levels = args.noise or list(rules.NOISE_LEVELS)
    for level in levels:
        if level not in rules.NOISE_LEVELS:
            raise UnknownName("level of noise", level, list(rules.NOISE_LEVELS))
    configs = clip_configs(ClipConfig(seed=args.seed, split=args.split), args.clips, "any")
    clips = [generate_clip(config) for config in tqdm(configs, desc="planning", unit="clip")]
    tolerances = tuple(frames * FRAME_S for frames in (2, 5, 10))
    figures = []
    for level in levels:
        noise = rules.NOISE_LEVELS[level]
        scores = score_rules((r for clip in clips for r in world_recordings(clip, noise=noise)), tolerances)
        _show(f"world, {level}", scores, tolerances[1])
        figures += figures_of(level, scores)
        figures.append(paired_difference(scores, rules.OURS, rules.FIXED, tolerances[1], level))
    parameters = {"clips": args.clips, "seed": args.seed, "split": args.split, "noise": levels}
    _write("segmentation.world", figures, parameters, {}, args.records)


def _reconstructed(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from vitra_lib.core.errors import BadInput, RefusedClip
    from vitra_lib.evaluation import segmentation_rules as rules
    from vitra_lib.evaluation.segmentation_run import figures_of, paired_difference, score_rules
    from vitra_lib.evaluation.segmentation_sources import world_recordings
    from vitra_lib.reconstruction.reconstruct import reconstruct
    from vitra_lib.reconstruction.store import load_reconstruction, save_reconstruction
    from vitra_lib.tabletop.clip import TabletopClip

    folders = sorted(path.parent for path in args.clips_dir.glob("*/truth.json"))
    if not folders:
        raise BadInput(f"{args.clips_dir} holds no rendered clips: make some with `vitra tabletop`.")
    args.tracks_dir.mkdir(parents=True, exist_ok=True)
    own, true, inputs, refused, reused = [], [], {}, 0, 0
    for folder in tqdm(folders, desc="reconstructing", unit="clip"):
        clip, stored = TabletopClip.load(folder), args.tracks_dir / f"{folder.name}.npz"
        if stored.exists():
            reused += 1
        else:
            try:
                save_reconstruction(reconstruct(folder / clip.truth.video_name), stored)
            except RefusedClip:
                refused += 1
        true += world_recordings(clip)
        own += world_recordings(clip, load_reconstruction(stored) if stored.exists() else _unseen(clip))
        inputs |= {stored.name: stored, f"{folder.name}/truth.npz": folder / "truth.npz"}
    tolerances = tuple(frames * FRAME_S for frames in (2, 5, 10))
    figures = []
    for label, recordings in (("reconstructed", own), ("truth of the same clips", true)):
        scores = score_rules(recordings, tolerances)
        _show(f"{label}, {len(folders)} clips", scores, tolerances[1])
        figures += figures_of(label, scores)
        figures.append(paired_difference(scores, rules.OURS, rules.FIXED, tolerances[1], label))
    parameters = {"clips": len(folders), "refused": refused, "tracks_reused": reused}
    _write("segmentation.reconstructed", figures, parameters, inputs, args.records)


def _unseen(clip):
    """What a refused clip comes to: no hand is ever seen, and every boundary is missed."""
    from dataclasses import replace

    from vitra_lib.contracts import HandTrack

    return replace(clip.truth, left=HandTrack.absent("left", len(clip)), right=HandTrack.absent("right", len(clip)))


def _icsc(args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.segmentation_run import figures_of, score_rules
    from vitra_lib.evaluation.segmentation_sources import icsc_recordings

    tasks = icsc_recordings(args.icsc)
    figures = []
    for name, recordings in {**tasks, "all tasks": [r for found in tasks.values() for r in found]}.items():
        scores = score_rules(recordings, (0.25, 0.5))
        _show(f"labelled demonstrations, {name}", scores, 0.5)
        figures += figures_of(name, scores)
    files = ("CarrotGrating_robot.mat", "circular_wiping_dataset.mat", "proc-data-noObj.mat")
    _write("segmentation.icsc", figures, {}, {name: args.icsc / name for name in files}, args.records)


def _ssv2(args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.segmentation_run import figures_of, score_rules
    from vitra_lib.evaluation.segmentation_sources import ssv2_recordings

    recordings = ssv2_recordings(args.ssv2)
    scores = score_rules(recordings, (2 / 12, 4 / 12))
    _show(f"phases of {len(recordings)} SSv2 clips, 2-D hand boxes only", scores, 4 / 12)
    files = ("phase_annots.csv", "something_else_annots.json")
    parameters = {"clips": len(recordings), "path": "centre of the hand's box in the image: there are no 3-D tracks"}
    inputs = {name: args.ssv2 / name for name in files}
    _write("segmentation.ssv2", figures_of("2-D boxes", scores), parameters, inputs, args.records)


def _episode(args: argparse.Namespace) -> None:
    from vitra_lib.evaluation.accuracy import Figure
    from vitra_lib.evaluation.segmentation_run import score_rules
    from vitra_lib.evaluation.segmentation_sources import episode_recording

    recording = episode_recording(args.annotation, args.fps)
    scores = score_rules([recording], (5 * FRAME_S,))
    figures = [
        Figure(f"cuts inside one official episode / {row.rule}", float(row.pooled(5 * FRAME_S).predicted), "cuts", 1)
        for row in scores
    ]
    print(f"\none official episode of {len(recording.path.time_s)} frames: a cut inside is one too many")
    for figure in figures:
        print(f"  {figure.name.split(' / ')[1]:44s} {figure.value:.0f}")
    inputs = {args.annotation.name: args.annotation}
    _write("segmentation.official", figures, {"fps": args.fps}, inputs, args.records)


def _write(name: str, figures, parameters: dict, inputs: dict[str, Path], folder: Path) -> None:
    from vitra_lib.runs.records import write_figures_record

    print(f"  -> {write_figures_record(name, figures, parameters, inputs, folder)}")
