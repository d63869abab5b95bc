"""Small scenes for the tests of the simulation."""

import numpy as np

from robot.simulation.config import TABLE_Z_M
from robot.simulation.scene import HeadCamera, Part, Scene, Thing, head_camera
from vitra_lib.contracts.hand_track import Side


def at(x: float, y: float, z: float = 0.0) -> np.ndarray:
    """Pose of an upright thing [m]."""
    T = np.eye(4)
    T[:3, 3] = x, y, z
    return T


def block(name: str = "block", x: float = 0.36, y: float = 0.0, **changes) -> Thing:
    """A red block of 4 x 4 x 8 cm on the table."""
    parts = (Part("box", (0.02, 0.02, 0.04), at(0, 0, 0.04)),)
    kept = {"mass_kg": 0.1, "colour": (0.9, 0.05, 0.05)} | changes
    return Thing(name, "block", parts, T_world_thing=at(x, y, TABLE_Z_M), **kept)


def cup(name: str = "cup", x: float = 0.30, y: float = 0.20) -> Thing:
    """An open blue cup."""
    part = Part("vessel", (0.04, 0.045, 0.004, 0.03), at(0, 0, 0.045))
    return Thing(name, "cup", (part,), 0.15, at(x, y, TABLE_Z_M), (0.1, 0.2, 0.9))


def granules(count: int, x: float = 0.30, y: float = 0.20) -> tuple[Thing, ...]:
    """Small balls above a place."""
    ball = (Part("sphere", (0.007,)),)
    places = [(x + 0.016 * (i % 3 - 1), y + 0.016 * (i // 3 % 3 - 1), TABLE_Z_M + 0.02 + 0.016 * (i // 9))
              for i in range(count)]  # fmt: skip
    return tuple(Thing(f"granule{i}", "granule", ball, 0.0015, at(*p), spin_damping=1e-6) for i, p in enumerate(places))


def scene(*things: Thing, side: Side = "right", camera: HeadCamera | None = None, **changes) -> Scene:
    """A scene of these things."""
    return Scene("none", "seen", 0, "Lift the block", things, camera or head_camera(side=side), side=side, **changes)
