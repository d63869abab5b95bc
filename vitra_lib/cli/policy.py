"""Make, convert and describe policies: the shipped tokenizer, and released weights in and out."""

import argparse
from pathlib import Path

NAME = "policy"
HELP = "convert released weights, describe a checkpoint, train the tokenizer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-verbs."""
    verbs = parser.add_subparsers(title="what to do", dest="action", metavar="ACTION", required=True)
    tokenizer = verbs.add_parser("tokenizer", help="train the shipped tokenizer on sentences of the synthetic world")
    tokenizer.add_argument("--vocabulary", type=int, default=1024, help="entries")
    tokenizer.add_argument("--out", type=Path, required=True, help="JSON file to write")
    importer = verbs.add_parser("import-official", help="turn a released .pt into a checkpoint folder")
    importer.add_argument("weights", type=Path, help="the .pt file (a bare state dict)")
    importer.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    importer.add_argument("--bf16", action="store_true", help="store in bfloat16: half the size")
    exporter = verbs.add_parser("export-official", help="turn a checkpoint folder into a released-style .pt")
    exporter.add_argument("checkpoint", type=Path, help="checkpoint folder")
    exporter.add_argument("--out", type=Path, required=True, help=".pt file to write")
    describe = verbs.add_parser("describe", help="print sizes and facts of a checkpoint")
    describe.add_argument("checkpoint", type=Path, help="checkpoint folder")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    return {"tokenizer": _tokenizer, "import-official": _import, "export-official": _export, "describe": _describe}[
        args.action
    ](args)


def _tokenizer(args: argparse.Namespace) -> int:
    """Train and write."""
    from vitra_lib.policy.tokenizer import train_tokenizer
    from vitra_lib.policy.tokenizer_corpus import world_sentences

    count = train_tokenizer(world_sentences(), args.out, args.vocabulary)
    print(f"{args.out}: {count} entries")
    return 0


def _import(args: argparse.Namespace) -> int:
    """Released weights → checkpoint."""
    import torch

    from vitra_lib.policy.checkpoint import save_policy
    from vitra_lib.policy.config import PolicyConfig
    from vitra_lib.policy.official_weights import import_official
    from vitra_lib.policy.policy import empty_policy

    policy = empty_policy(PolicyConfig.of_profile("paper"))
    import_official(policy, args.weights)
    save_policy(policy, args.out, {"source": args.weights.name}, dtype=torch.bfloat16 if args.bf16 else None)
    print(f"{args.out}: {sum(p.numel() for p in policy.parameters()):,} parameters")
    return 0


def _export(args: argparse.Namespace) -> int:
    """Checkpoint → released-style weights."""
    from vitra_lib.policy.checkpoint import load_policy
    from vitra_lib.policy.official_weights import export_official

    export_official(load_policy(args.checkpoint), args.out)
    print(args.out)
    return 0


def _describe(args: argparse.Namespace) -> int:
    """Sizes and facts."""
    import json

    from vitra_lib.policy.checkpoint import read_description

    print(json.dumps(read_description(args.checkpoint), indent=2))
    return 0
