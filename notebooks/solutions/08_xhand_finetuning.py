"""Answers to the exercises of notebook 08."""


def exercise_1():
    """Each motor takes one angle, and no angle is taken twice."""
    return 29


def exercise_2():
    """Behind the wrist's six: x at 6, y at 7, z at 8."""
    return 8


def exercise_3():
    """Ten failures leave room for more than a quarter."""
    return 1.96**2 / (10 + 1.96**2)
