"""The command `vitra`: one module per verb, each with NAME, HELP, add_arguments(parser) and run(args)."""

VERBS = (
    "demo",
    "notebooks",
    "tabletop",
    "transcode",
    "reconstruct",
    "build",
    "import_",
    "export",
    "evaluate",
    "lifter",
    "assets",
)
