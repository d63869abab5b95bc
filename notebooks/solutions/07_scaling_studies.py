"""Answers to the exercises of notebook 07."""


def exercise_1():
    """9 / 12 = 6.75 / 9 = 0.75: a power law, of exponent log10(0.75) = -0.125."""
    return 0.75


def exercise_2():
    """One more tenfold: 6.75 × 0.75 = 5.06."""
    return 5.06
