"""Things of a scene as bodies of the MuJoCo model."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from robot.simulation.rig import TABLE, THING, load_mujoco, place, touch
from robot.simulation.scene import Part, Thing
from vitra_lib.geometry.rotations import from_euler_xyz

if TYPE_CHECKING:
    import mujoco

STAVES = 12
"""Flat staves around a vessel; twelve leave at most 3.5 % between the polygon and its circle."""


def add_thing(spec: "mujoco.MjSpec", thing: Thing) -> Any:
    """Add a body called as the thing; it floats freely unless it is fixed.

    Args:
        spec: model under construction.
        thing: what to add.
    """
    mujoco = load_mujoco()
    body = place(spec.worldbody.add_body(name=thing.name), thing.T_world_thing)
    if not thing.is_fixed:
        joint = body.add_joint(name=thing.name, type=mujoco.mjtJoint.mjJNT_FREE)
        if thing.spin_damping > 0:
            joint.damping = [thing.spin_damping, 0.0, 0.0]
    solids = [solid for part in thing.parts if part.is_solid for solid in solids_of(part)]
    volumes = np.array([volume(*solid[:2]) for solid in solids])
    for number, ((kind, size, T), share) in enumerate(zip(solids, volumes / volumes.sum(), strict=True)):
        geom = body.add_geom(
            name=f"{thing.name}.{number}",
            type=getattr(mujoco.mjtGeom, f"mjGEOM_{kind.upper()}"),
            size=[*size, 0.0, 0.0][:3],
            mass=thing.mass_kg * float(share),
        )
        place(geom, T)
        condim = 6 if thing.rolling_m > 0 else 3
        touch(geom, TABLE if thing.is_fixed else THING, thing.friction, condim, thing.rolling_m)
        if thing.spin_damping > 0:  # small fast balls would sink through thin walls; theirs is the contact's stiffness
            geom.solref[0], geom.solmix = 0.006, 50.0
    return body


def solids_of(part: Part) -> list[tuple[str, tuple[float, ...], Float[np.ndarray, "4 4"]]]:
    """The convex solids of a part: kind, sizes as in MuJoCo, and pose in the thing [m]."""
    if part.kind != "vessel":
        return [(part.kind, part.size_m, part.T_thing_part)]
    rim, half, wall, foot = part.size_m
    slant = np.arctan2(rim - foot, 2 * half)  # outwards from the vertical
    long, middle = half / np.cos(slant), 0.5 * (rim + foot) - 0.5 * wall / np.cos(slant)
    width = max(rim, foot) * np.tan(np.pi / STAVES)
    floor = np.eye(4)
    floor[2, 3] = -half + 0.5 * wall
    solids = [("cylinder", (foot, 0.5 * wall), part.T_thing_part @ floor)]
    for turn in np.arange(STAVES) * 2 * np.pi / STAVES:
        R = from_euler_xyz(np.array([0.0, 0.0, turn])) @ from_euler_xyz(np.array([0.0, slant, 0.0]))
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = R, from_euler_xyz(np.array([0.0, 0.0, turn])) @ [middle, 0.0, 0.0]
        solids.append(("box", (0.5 * wall, width, long), part.T_thing_part @ T))
    return solids


def volume(kind: str, size: tuple[float, ...]) -> float:
    """Of a solid [m3]; sizes as in MuJoCo."""
    if kind == "box":
        return 8.0 * float(np.prod(size))
    if kind == "cylinder":
        return 2.0 * np.pi * size[0] ** 2 * size[1]
    round_ends = 4.0 / 3.0 * np.pi
    if kind == "capsule":
        return round_ends * size[0] ** 3 + 2.0 * np.pi * size[0] ** 2 * size[1]
    return round_ends * (float(np.prod(size)) if kind == "ellipsoid" else size[0] ** 3)
