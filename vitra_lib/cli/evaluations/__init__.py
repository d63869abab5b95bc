"""What `vitra evaluate` can measure: one module per subject, each with NAME, HELP, add_arguments(parser), run(args)."""

SUBJECTS = (
    "reconstruction",
    "accuracy_table",
    "segmentation",
    "two_view",
    "captions",
    "policy",
)
