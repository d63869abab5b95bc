"""Answers to the exercises of notebook 09."""


def exercise_1():
    """The steps that were due at 0.1, 0.2 and 0.3 s have passed."""
    return 3


def exercise_2():
    """Speed times period; the acceleration cap makes the first steps smaller still."""
    return 1.2 / 30


def exercise_3():
    """Both keys must be turned; with `--real` alone the hardware is read and nothing is sent."""
    return {"--real", "--execute"}
