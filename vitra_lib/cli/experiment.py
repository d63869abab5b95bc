"""`vitra experiment NAME`: train policies in the synthetic world and measure them on scenes they never saw."""

import argparse
from dataclasses import replace
from pathlib import Path

NAME = "experiment"
HELP = "train policies in the synthetic world: the tiny policy, a thin scaling study"
_SCALING_DRAWS = 4  # per picture: single draws are scored, and there are many runs
_SHOWN = ("wrist FDE", "wrist ADE", "wrist rotation", "finger angles", "MPJPE", "hand-object distance")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The experiments."""
    names = parser.add_subparsers(title="experiments", dest="experiment", metavar="NAME", required=True)
    tiny = names.add_parser("tiny-policy", help="ground, train and score a policy that sees, in minutes on two cores")
    tiny.add_argument("--split", default="train", help="of the scenes to score on: train, unseen-object, …")
    scaling = names.add_parser("scaling", help="train on shares of the data with several seeds: one row per run")
    scaling.add_argument("--shares", default="0.01,0.1,1", help="of the training episodes, comma-separated")
    scaling.add_argument("--seeds", type=int, default=3, help="runs per share")
    for command, record in ((tiny, "policy.tiny"), (scaling, "policy.scaling.tiny")):
        command.add_argument("--records", type=Path, default=Path("results/records"), help="folder of the record")
        command.add_argument("--name", default=record, help="name of the record")
        command.add_argument("--out", type=Path, required=True, help="folder of data and runs; what is there goes on")
        command.add_argument("--recipe", default="tiny", help="tiny")
        for stage in ("seeing", "binding", "training"):
            command.add_argument(f"--{stage}-steps", type=int, default=None, help="in place of the recipe's")
        command.add_argument("--pictures", type=int, default=2400, help="pictures to learn to see from")
        command.add_argument("--episodes", type=int, default=240, help="episodes to train on")
        command.add_argument("--unseen", type=int, default=48, help="episodes to score on")
        command.add_argument("--seed", type=int, default=0, help="of weights, order and noise (scaling: the first)")
        command.add_argument("--workers", type=int, default=1, help="processes that draw the data")
        command.add_argument("--threads", type=int, default=2, help="of torch while it trains")


def run(args: argparse.Namespace) -> int:
    """Do it, and say what came out."""
    return {"tiny-policy": _tiny_policy, "scaling": _scaling}[args.experiment](args)


def _experiment(args: argparse.Namespace):  # noqa: ANN202 - the type would import torch for `vitra --help`
    from vitra_lib.evaluation.policy_experiments import WorldExperiment
    from vitra_lib.training.recipes import Recipe

    recipe = Recipe.named(args.recipe, args.seed)
    stages = ((args.seeing_steps, recipe.seeing), (args.binding_steps, recipe.binding))
    steps = [asked or stage.steps for asked, stage in (*stages, (args.training_steps, recipe.training))]
    return WorldExperiment(
        args.out,
        recipe.shortened(*steps),
        args.episodes,
        args.unseen,
        args.pictures,
        args.split if args.experiment == "tiny-policy" else "train",
        workers=args.workers,
        threads=args.threads,
        progress=True,
    )


def _tiny_policy(args: argparse.Namespace) -> int:
    """Train, score, print a table, write a record."""
    import time

    from vitra_lib.evaluation.policy_ablations import ablation_figures
    from vitra_lib.evaluation.policy_eval import POLICY, POLICY_MEAN, table_of
    from vitra_lib.evaluation.policy_experiments import beaten_baselines, score_unseen, train_in_world
    from vitra_lib.runs.records import write_figures_record

    experiment = _experiment(args)
    began = time.process_time()
    trained = train_in_world(experiment)
    spent = time.process_time() - began
    evaluation = score_unseen(experiment, trained)
    for method, *cells in table_of(evaluation, _SHOWN):
        print(f"  {method}")
        for metric, cell in zip(_SHOWN, cells, strict=True):
            print(f"      {metric:22s} {cell}")
    for ours in (POLICY, POLICY_MEAN):
        beaten = beaten_baselines(evaluation, ours=ours)
        print(f"  {ours}, wrist FDE, beats for sure: {', '.join(name for name in beaten if beaten[name]) or 'nothing'}")
    needs = ablation_figures(trained.predictor, trained.unseen, replace(experiment.evaluation.sampling, samples=4))
    for figure in needs:
        interval = "" if figure.ci95 is None else f" [{figure.ci95[0]:.2f}, {figure.ci95[1]:.2f}]"
        print(f"  {figure.name}: {figure.value:.2f}{interval} {figure.unit}")
    recipe = experiment.recipe
    parameters = {
        "recipe": args.recipe, "seed": args.seed, "split": args.split, "episodes": args.episodes,
        "unseen": args.unseen, "pictures": args.pictures, "seeing_steps": recipe.seeing.steps,
        "binding_steps": recipe.binding.steps, "training_steps": recipe.training.steps,
        "guidance": experiment.evaluation.sampling.guidance, "samples": experiment.evaluation.sampling.samples,
    }  # fmt: skip
    weights = trained.run / "policy" / "weights.safetensors"
    print(f"  policy: {weights.parent} ({spent:.0f} s of CPU time for what was not there yet)")
    path = write_figures_record(
        args.name, (*evaluation.figures(), *needs), parameters, {"weights": weights}, args.records
    )
    print(f"  -> {path}")
    return 0


def _scaling(args: argparse.Namespace) -> int:
    """Train the grid, print one line per run, write a record."""
    from vitra_lib.core.errors import BadInput
    from vitra_lib.evaluation.policy_experiments import read_rows, scaling
    from vitra_lib.evaluation.scaling import figures_of_rows
    from vitra_lib.runs.records import write_figures_record

    try:
        shares = [float(word) for word in args.shares.split(",")]
    except ValueError:
        raise BadInput(f"--shares {args.shares!r}: give numbers in (0, 1], comma-separated.") from None
    if args.seeds < 1:
        raise BadInput(f"--seeds is {args.seeds}; it must be at least 1.")
    experiment = _experiment(args)
    fewer = replace(experiment.evaluation.sampling, samples=_SCALING_DRAWS)
    experiment = replace(experiment, evaluation=replace(experiment.evaluation, sampling=fewer))
    path = scaling(experiment, shares, range(args.seed, args.seed + args.seeds))
    rows = read_rows(path)
    for row in rows:
        print(f"  {row['episodes']:5.0f} episodes, seed {row['seed']:.0f}: wrist FDE {row['wrist_fde_cm']:.2f} cm")
    recipe = experiment.recipe
    parameters = {
        "recipe": args.recipe, "episodes": args.episodes, "unseen": args.unseen, "pictures": args.pictures,
        "seeing_steps": recipe.seeing.steps, "binding_steps": recipe.binding.steps,
        "denoising_steps": recipe.denoising.steps, "samples": experiment.evaluation.sampling.samples,
        "guidance": experiment.evaluation.sampling.guidance,
    }  # fmt: skip
    record = write_figures_record(args.name, figures_of_rows(rows), parameters, {"rows": path}, args.records)
    print(f"  -> {path}\n  -> {record}")
    return 0
