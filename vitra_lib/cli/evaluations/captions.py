"""`vitra evaluate captions`: verb, noun, N/A and hand of a captioner's sentences against the synthetic world's truth.

With --ablation overlay (or cuts) both conditions of the paper's labelling ablation are run on the same clips, and
their difference is given with an interval from clips resampled in pairs.
"""

import argparse
from pathlib import Path

from vitra_lib.cli.chat_options import add_chat_options, chat_config, check_captioner
from vitra_lib.cli.evaluations.report import report

NAME = "captions"
HELP = "a captioner on clips of the world: verb, noun, N/A, wrong hand; and the overlay and cuts ablations"

WORLD_SEED = 90_000  # held out: no training render and no test uses seeds from here on


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--captioner", default="motion-only", help="motion-only, openai:<model> or local:<folder>")
    parser.add_argument("--clips", type=int, default=10, help="clips of the world")
    parser.add_argument("--split", default="unseen-object", help="split of the world to draw from")
    parser.add_argument("--seed", type=int, default=WORLD_SEED, help="first seed of the clips")
    parser.add_argument(
        "--clips-dir", type=Path, default=Path("results/work/world"), help="folder for rendered clips, kept and reused"
    )
    parser.add_argument("--cuts", default="truth", help="segments from: truth, speed-minima or fixed-interval")
    parser.add_argument(
        "--ablation", choices=("none", "overlay", "cuts"), default="none",
        help="overlay: with and without the path; cuts: speed minima against fixed 1 s",
    )  # fmt: skip
    parser.add_argument("--answers", type=Path, default=Path("results/work/answers"), help="folder of cached answers")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder for the record")
    add_chat_options(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write a record; 1 when an endpoint left segments unanswered."""
    from vitra_lib.captioning import make_captioner
    from vitra_lib.core.errors import BadInput
    from vitra_lib.evaluation.captions import caption_figures, paired_figures
    from vitra_lib.evaluation.captions_run import CaptionCondition, world_captions
    from vitra_lib.tabletop.config import ClipConfig
    from vitra_lib.tabletop.rendering import clip_configs

    check_captioner(args)
    if args.clips < 1:
        raise BadInput(f"--clips is {args.clips}: give at least 1.")
    captioner = make_captioner(args.captioner, args.answers, chat_config(args))
    if args.ablation == "overlay" and not captioner.needs_images:
        raise BadInput(f"{captioner.name} looks at no pictures, so the overlay changes nothing: name one that sees.")
    conditions = {
        "none": (CaptionCondition(cuts=args.cuts),),
        "overlay": (CaptionCondition(True, args.cuts), CaptionCondition(False, args.cuts)),
        "cuts": (CaptionCondition(cuts="speed-minima"), CaptionCondition(cuts="fixed-interval")),
    }[args.ablation]
    clips = clip_configs(ClipConfig(seed=args.seed, split=args.split), args.clips, "any")
    trials = [world_captions(captioner, clips, args.clips_dir, one, progress=True) for one in conditions]
    missing = sum(trial.unanswered for trial in trials)
    if missing:
        print(f"{missing} segments are unanswered; the same command asks only for them. No record is written.")
        return 1
    names = {"overlay": ("with path", "without path"), "cuts": ("speed minima", "fixed 1 s")}.get(args.ablation)
    judged = [trial.judged for trial in trials]
    figures = paired_figures(judged[0], judged[1], names) if names else caption_figures(judged[0])
    parameters = {"captioner": captioner.name, "is_weak": captioner.is_weak, "clips": args.clips, "split": args.split}
    parameters |= {"seed": args.seed, "cuts": "both" if args.ablation == "cuts" else args.cuts}
    slug = "".join(c if c.isalnum() or c in "-." else "-" for c in captioner.name)
    suffix = f".{args.ablation}" if names else ""
    report(f"captions.{slug}{suffix}", figures, parameters, {}, args.records)
    return 0
