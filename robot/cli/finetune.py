"""`vitra robot finetune --demonstrations FOLDER --checkpoint POLICY|none --out RUN`: fine-tune on a robot's recordings.

The run's folder holds run.json, statistics.json, log.jsonl, checkpoints/ and, at the end, policy/. A killed run goes on
with the same command and --resume, bit by bit on a CPU.
"""

import argparse
from pathlib import Path

NAME = "finetune"
HELP = "fine-tune a policy on demonstrations of a robot; checks first, resumes exactly"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the sub-verb."""
    parser.add_argument(
        "--demonstrations", type=Path, required=True, metavar="FOLDER", help="TeleData: annotation/ and videos/"
    )
    parser.add_argument(
        "--checkpoint",
        required=True,
        metavar="POLICY",
        help="folder of a pretrained policy, or none for random weights",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--recipe", default="tiny", help="tiny, small or paper; also the policy's profile")
    parser.add_argument("--steps", type=int, default=None, help="optimizer steps in place of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of order, changes, noise, and of what is kept back")
    parser.add_argument(
        "--mask-unmapped", action=argparse.BooleanOptionalAction, default=True,
        help="leave out the human finger angles that no joint copies; --no-mask-unmapped teaches them to be zero, as "
        "the official code does",
    )  # fmt: skip
    parser.add_argument("--held-out", type=float, default=0.1, metavar="SHARE", help="demonstrations kept for scoring")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--tokenizer", type=Path, default=None, help="PaliGemma folder whose tokenizer is used")
    parser.add_argument("--parallel", default="none", help="none, ddp or fsdp (under torchrun)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--skip-preflight", action="store_true", help="start without the checks")


def run(args: argparse.Namespace) -> int:
    """Train, and say where the policy is."""
    import sys
    from dataclasses import replace

    from robot.learning.finetune import FinetuneConfig, FinetuneRun, finetune
    from vitra_lib.core.devices import choose_device
    from vitra_lib.core.errors import BadInput
    from vitra_lib.training.log import summary
    from vitra_lib.training.parallel import joined

    if args.steps is not None and args.steps < 1:
        raise BadInput(f"--steps is {args.steps}; it must be at least 1.")
    config = FinetuneConfig.recipe(args.recipe, args.steps, args.seed)
    training = replace(config.training, parallel=args.parallel)
    unmapped = "masked" if args.mask_unmapped else "zero"
    config = replace(config, training=training, unmapped=unmapped, held_out=args.held_out)
    start = None if args.checkpoint == "none" else Path(args.checkpoint)
    run_ = FinetuneRun(args.out, start, args.resume, not args.skip_preflight, True, args.tokenizer)
    with joined(args.parallel, choose_device(args.device)) as ranks:
        done = finetune(args.demonstrations, config, run_, ranks)
    if ranks.is_first:
        for remark in done.remarks:
            print(f"vitra: {remark}", file=sys.stderr)
        print(summary(done.speed))
        print(f"{len(done.held_out)} demonstrations kept back; {done.policy}")
    return 0
