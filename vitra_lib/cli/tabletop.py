"""`vitra tabletop`: clips of the synthetic world with everything known, and data sets of its episodes."""

import argparse
from pathlib import Path

NAME = "tabletop"
HELP = "make clips of the synthetic world, with truth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    render = actions.add_parser("render", help="draw clips: one folder each with video.mp4, truth.npz and truth.json")
    render.add_argument("--seed", type=int, default=0, help="seed of the first clip; the next ones count up")
    render.add_argument("--clips", type=int, default=1, help="number of clips")
    render.add_argument("--split", default="train", help="train, unseen-texture, unseen-object or unseen-category")
    render.add_argument("--out", type=Path, required=True, help="folder for the clips; finished ones in it are kept")
    render.add_argument("--workers", type=int, default=1, help="processes")
    render.add_argument("--duration", type=float, default=10.0, help="length of a clip [s]")
    render.add_argument("--fps", type=float, default=30.0, help="frames per second")
    render.add_argument("--size", default="640x480", help="WIDTHxHEIGHT [px]")
    render.add_argument("--hands", default="any", help="right, left, both, or any (in turn, by seed)")
    render.add_argument("--camera", default="moving", help="moving or static")
    render.add_argument("--fov", default="60-100", help="MIN-MAX of the horizontal field of view [deg]")
    episodes = actions.add_parser("episodes", help="draw a data set of episodes, with true hands, camera and captions")
    episodes.add_argument("--count", type=int, default=240, help="number of episodes")
    episodes.add_argument("--seed", type=int, default=0, help="seed of the first clip; other seeds are other scenes")
    episodes.add_argument("--split", default="train", help="train, unseen-texture, unseen-object or unseen-category")
    episodes.add_argument("--skills", default="reach", help="actions that become episodes, comma-separated")
    episodes.add_argument("--objects", type=int, default=2, help="things that the hand may use, 2 to 8")
    episodes.add_argument("--out", type=Path, required=True, help="folder of the data set; must not exist")
    episodes.add_argument("--workers", type=int, default=1, help="processes; the result does not depend on it")
    sample = actions.add_parser("sample", help="draw the clip of data/sample again")
    sample.add_argument("--out", type=Path, required=True, help="folder for sample.mp4, truth.npz and truth.json")


def run(args: argparse.Namespace) -> int:
    """Draw the clips and say where they are."""
    from vitra_lib.core.errors import BadInput
    from vitra_lib.tabletop.config import ClipConfig
    from vitra_lib.tabletop.rendering import clip_configs, render_batch, render_sample

    if args.action == "episodes":
        return _episodes(args)
    if args.action == "sample":
        clip = render_sample(args.out, progress=True)
        print(args.out / clip.truth.video_name)
        return 0
    width, mark, height = args.size.lower().partition("x")
    if not (mark and width.isdigit() and height.isdigit()):
        raise BadInput(f"--size must be WIDTHxHEIGHT in pixels such as 640x480, not {args.size!r}.")
    fov_min, mark, fov_max = args.fov.partition("-")
    if not (mark and fov_min.isdigit() and fov_max.isdigit()):
        raise BadInput(f"--fov must be MIN-MAX in whole degrees such as 60-100, not {args.fov!r}.")
    first = ClipConfig(
        seed=args.seed,
        split=args.split,
        duration_s=args.duration,
        fps=args.fps,
        width_px=int(width),
        height_px=int(height),
        hands="both" if args.hands == "any" else args.hands,
        camera=args.camera,
        fov_min_deg=float(fov_min),
        fov_max_deg=float(fov_max),
    )
    folders = render_batch(clip_configs(first, args.clips, args.hands), args.out, args.workers, progress=True)
    for folder in folders:
        print(folder)
    return 0


def _episodes(args: argparse.Namespace) -> int:
    """Draw a data set of small, short episodes."""
    from dataclasses import replace

    from vitra_lib.pipeline.world_episodes import WorldEpisodesConfig, build_world_episodes

    config = WorldEpisodesConfig.tiny(args.count, args.seed, args.split)
    skills = tuple(word.strip() for word in args.skills.split(","))
    config = replace(config, skills=skills, clip=replace(config.clip, objects=args.objects))
    store = build_world_episodes(config, args.out, args.workers, progress=True)
    print(f"{args.out}: {len(store)} episodes, {store.total_frames} frames")
    return 0
