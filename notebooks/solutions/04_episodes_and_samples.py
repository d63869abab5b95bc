"""Answers to the exercises of notebook 04."""


def exercise_1():
    """The left hand takes 0 to 50; the right hand begins at 51 with its three translations."""
    return slice(51, 54)


def exercise_2():
    """From frame T - 5 there are four steps to the last frame T - 1; a step needs both of its ends."""
    return 4


def exercise_3():
    """Left and right change places as words; the letters "right" in "bright" are not a word."""
    return "Slide the right box to the left edge of the bright mat."


def exercise_4():
    """Each hand keeps 51 of its 61 numbers; its rotation follows three numbers of translation."""
    return slice(54, 57)
