"""What `vitra robot` can do: one module per sub-verb, each with NAME, HELP, add_arguments(parser), run(args)."""

SUBVERBS: tuple[str, ...] = (
    "retarget",
    "teledata",
    "lag",
    "run",
    "replay",
    "mjcf",
    "demonstrate",
    "finetune",
    "evaluate",
    "compare",
)
