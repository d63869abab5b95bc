"""`vitra train DATASET… --out RUN --profile tiny --steps N`: train a policy, after checking that it can learn.

The run's folder holds run.json, statistics.json, log.jsonl, checkpoints/ and best/. A killed run goes on with the same
command and --resume, bit by bit on a CPU. Several devices: `torchrun --nproc_per_node 8 -m vitra_lib train … --parallel
fsdp`.
"""

import argparse
from pathlib import Path

NAME = "train"
HELP = "train a policy on episodes; checks first, resumes exactly"

_SECTIONS = ("training", "sample", "augmentation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "datasets", nargs="+", metavar="DATASET", help="folder or URL, FOLDER:WEIGHT; with --root names or a mixture"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--root", default=None, help="folder or URL that holds the named data sets")
    parser.add_argument("--profile", default="tiny", help="tiny, small or paper")
    parser.add_argument("--steps", type=int, required=True, help="optimizer steps of the whole run")
    parser.add_argument("--batch-size", type=int, default=None, help="samples per step over all processes")
    parser.add_argument("--seed", type=int, default=0, help="of weights, noise, order and augmentation")
    parser.add_argument(
        "--config", type=Path, default=None, metavar="FILE",
        help='JSON with sections "training" (TrainingConfig), "sample" (SampleConfig), "augmentation" (false = none)',
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--pretrained", type=Path, default=None, metavar="DIR", help="checkpoint folder to start from")
    parser.add_argument("--tokenizer", type=Path, default=None, help="PaliGemma folder whose tokenizer is used")
    parser.add_argument("--validation", default=None, metavar="DATASET", help="data set that is never trained on")
    parser.add_argument("--statistics", type=Path, default=None, help="statistics file (default: computed)")
    parser.add_argument("--workers", type=int, default=0, help="processes per device that read ahead")
    parser.add_argument("--parallel", default=None, help="none, ddp or fsdp (under torchrun)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--skip-preflight", action="store_true", help="start without the checks")


def run(args: argparse.Namespace) -> int:
    """Open, check, train, and say where the policy is."""
    from vitra_lib.core.devices import choose_device
    from vitra_lib.training.parallel import joined

    training, data_config = _configs(args)
    with joined(training.parallel, choose_device(args.device)) as ranks:
        return _train(args, training, data_config, ranks)


def _train(args: argparse.Namespace, training, data_config, ranks) -> int:
    import torch

    from vitra_lib.policy.checkpoint import load_policy
    from vitra_lib.policy.policy import Policy
    from vitra_lib.policy.processor import Processor
    from vitra_lib.training.data import open_data, validation_batches
    from vitra_lib.training.log import summary
    from vitra_lib.training.loop import RunConfig, Training

    micro_batch = training.micro_batch(ranks.world_size)
    processor = Processor(args.tokenizer)
    torch.manual_seed(args.seed)
    if args.pretrained is not None:
        policy = load_policy(args.pretrained, args.profile)
    else:
        policy = Policy(processor.policy_config(args.profile))
    policy.to(ranks.device)
    data = open_data(data_config, args.out, ranks, args.resume, progress=True)
    try:
        held_out = ()
        if args.validation is not None:
            held_out = validation_batches(args.validation, data, micro_batch, training.validation_batches, ranks)
        if not (args.skip_preflight or args.resume):
            _preflight(policy, processor, data, training, ranks)
        facts = data.facts() | {"profile": args.profile, "seed": args.seed}
        run_config = RunConfig(args.out, args.resume, facts, progress=True)
        loader = data.loader(micro_batch, ranks)
        try:
            started = Training(policy, processor, training, run_config, ranks)
            started.run(loader, held_out)
        finally:
            loader.close()
    finally:
        data.close()
    if ranks.is_first:
        print(summary(started.speed))
        best = args.out / "best"
        newest = args.out / "checkpoints" / f"step-{training.steps:08d}" / "policy"
        print(f"{newest}" + (f"; lowest validation loss: {best}" if best.is_dir() else ""))
    return 0


def _preflight(policy, processor, data, training, ranks) -> None:
    """Check on the first process; the others wait for it."""
    import sys

    from vitra_lib.training import preflight

    if ranks.is_first:
        batches = data.first_batches(min(32, training.batch_size), 4)
        findings = preflight.check_batches(batches, policy.config, processor)
        findings += preflight.check_timing(data.facts()["fps"], data.config.sample.chunk)
        if not any(finding.is_problem for finding in findings):
            findings += preflight.check_statistics(batches, data.normaliser)
        if not any(finding.is_problem for finding in findings):
            findings += preflight.check_overfit(policy, processor, batches[0], training)
        for remark in preflight.report(findings):
            print(f"vitra: {remark}", file=sys.stderr)
        print(f"pre-flight: {len(batches)} batches looked at, one learned by heart")
    ranks.wait()


def _configs(args: argparse.Namespace):
    """The training and the data, from preset, file and options; options win."""
    from vitra_lib.core.errors import BadInput, UnknownName
    from vitra_lib.dataset import AugmentationConfig, SampleConfig
    from vitra_lib.training.config import TrainingConfig
    from vitra_lib.training.data import DataConfig, read_config
    from vitra_lib.training.presets import preset

    given = read_config(args.config) if args.config is not None else {}
    if unknown := sorted(set(given) - set(_SECTIONS)):
        raise UnknownName("section of settings", unknown[0], _SECTIONS)
    values = preset(args.profile, args.steps)
    for name, value in given.get("training", {}).items():
        is_part = isinstance(values.get(name), dict) and isinstance(value, dict)
        values[name] = values[name] | value if is_part else value
    values |= {"steps": args.steps, "seed": args.seed}
    values |= {"batch_size": args.batch_size} if args.batch_size is not None else {}
    values |= {"parallel": args.parallel} if args.parallel is not None else {}
    augmentation = AugmentationConfig() if given.get("augmentation", True) else None
    try:
        training = TrainingConfig.from_dict(values)
        sample = SampleConfig(**({"augmentation": augmentation, "state_dropout": 0.1} | given.get("sample", {})))
    except TypeError as error:
        raise BadInput(f"{args.config} has a setting that does not exist or does not fit: {error}.") from None
    data = DataConfig(tuple(args.datasets), args.root, sample, args.statistics, args.workers, args.seed)
    return training, data
