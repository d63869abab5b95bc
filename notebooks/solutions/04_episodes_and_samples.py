"""Answers to the exercises of notebook 04."""


def exercise_1():
    """The left hand takes 0 to 50; the right hand begins at 51 with its three translations."""
    return slice(51, 54)


def exercise_2():
    """From frame T - 5 there are four steps to the last frame T - 1; a step needs both of its ends."""
    return 4
