"""`vitra evaluate policy`: a policy's hand actions on a data set, beside the baselines, as a table and a record."""

import argparse
from pathlib import Path

NAME = "policy"
HELP = "predicted hand actions against what happened, beside baselines"

_SHOWN = ("wrist ADE", "wrist FDE", "wrist rotation", "finger angles", "MPJPE", "hand-object distance", "jerk")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the subject."""
    parser.add_argument("--checkpoint", type=Path, default=None, help="checkpoint folder (default: baselines alone)")
    parser.add_argument("--dataset", required=True, help="data set that was not trained on")
    parser.add_argument(
        "--training", nargs="*", default=[], metavar="DATASET", help="data sets that the baselines may remember"
    )
    parser.add_argument(
        "--world",
        type=Path,
        default=None,
        metavar="DIR",
        help="rendered clips that the data set was built from, for hand-object distance (world data sets know theirs)",
    )
    parser.add_argument("--windows", type=int, default=200, help="pictures, evenly spread over the data set")
    parser.add_argument("--min-steps", type=int, default=8, help="steps that must be known from a picture on")
    parser.add_argument("--samples", type=int, default=8, help="draws per picture")
    parser.add_argument("--steps", type=int, default=10, help="diffusion steps")
    parser.add_argument("--guidance", type=float, default=5.0, help="classifier-free guidance; 1 = none")
    parser.add_argument("--seed", type=int, default=0, help="of draws and bootstrap")
    parser.add_argument("--batch", type=int, default=8, help="pictures that the policy sees at once")
    parser.add_argument("--statistics", type=Path, default=None, help="statistics file (default: the checkpoint's own)")
    parser.add_argument("--tokenizer", type=Path, default=None, help="PaliGemma folder whose tokenizer is used")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--name", default="policy.hand-actions", help="name of the record")
    parser.add_argument("--records", type=Path, default=Path("results/records"), help="folder of the record")


def run(args: argparse.Namespace) -> int:
    """Measure, print a table, write the record."""
    from vitra_lib.core.devices import choose_device
    from vitra_lib.dataset import open_source
    from vitra_lib.evaluation.policy_eval import (
        Material,
        PolicyEvaluationConfig,
        evaluate_policy,
        rows_used,
        table_of,
    )
    from vitra_lib.evaluation.world_objects import WorldObjects
    from vitra_lib.hands.model import load_hand_model
    from vitra_lib.policy.config import SamplingConfig
    from vitra_lib.policy.predict import Predictor
    from vitra_lib.runs.records import write_figures_record

    sampling = SamplingConfig(args.steps, args.guidance, args.samples, args.seed)
    config = PolicyEvaluationConfig(args.windows, args.min_steps, args.batch, sampling=sampling, seed=args.seed)
    model = load_hand_model()
    predictor = None
    if args.checkpoint is not None:
        predictor = Predictor.open(args.checkpoint, model, args.statistics, tokenizer=args.tokenizer)
        predictor.policy.to(choose_device(args.device))
    source, training = open_source(args.dataset), [open_source(place) for place in args.training]
    try:
        material = Material(source, training, WorldObjects(args.world))
        evaluation = evaluate_policy(predictor, material, model, config, progress=True)
    finally:
        for opened in (source, *training):
            opened.close()
    left, right = rows_used(evaluation).tolist()
    print(f"\n{source.name}: {evaluation.pictures} pictures, {left} left and {right} right hands")
    print("mean [95 % interval over episodes]; for draws also the best of them")
    for method, *cells in table_of(evaluation, _SHOWN):
        print(f"  {method}")
        for metric, cell in zip(_SHOWN, cells, strict=True):
            print(f"      {metric:22s} {cell}")
    parameters = {
        "dataset": source.name, "pictures": evaluation.pictures, "samples": args.samples, "steps": args.steps,
        "guidance": args.guidance, "seed": args.seed, "training": [one.name for one in training],
        "chunk_known_steps_at_least": config.min_steps,
    }  # fmt: skip
    inputs = {} if args.checkpoint is None else {"weights": args.checkpoint / "weights.safetensors"}
    figures = evaluation.figures(args.seed)
    print(f"  -> {write_figures_record(args.name, figures, parameters, inputs, args.records)}")
    return 0
