"""Tables and floors: those of training, and others that are kept for `unseen-background`."""

import numpy as np

from robot.simulation.scene import Look, Surface

SEEN_TABLES, SEEN_FLOORS = ("wood", "planks", "plain"), ("tiles", "speckle")
UNSEEN_TABLES, UNSEEN_FLOORS = ("marble", "cloth", "checker"), ("noise", "stripes")


def background(rng: np.random.Generator, split: str) -> Look:
    """A table, a floor and a lamp.

    Args:
        rng: chooses pattern, colours and the lamp's place.
        split: "unseen-background" takes patterns and colours that no other split has.
    """
    is_unseen = split == "unseen-background"
    tables, floors = (UNSEEN_TABLES, UNSEEN_FLOORS) if is_unseen else (SEEN_TABLES, SEEN_FLOORS)
    first = 1000 if is_unseen else 0
    return Look(
        table=Surface(tables[rng.integers(len(tables))], first + int(rng.integers(6))),
        floor=Surface(floors[rng.integers(len(floors))], first + int(rng.integers(6))),
        lamp_m=(float(rng.uniform(0.0, 0.4)), float(rng.uniform(0.2, 0.7)), float(rng.uniform(1.1, 1.4))),
        ambient=float(rng.uniform(0.5, 0.6)),
    )
