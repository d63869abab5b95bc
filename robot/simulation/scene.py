"""What stands on the table and how it looks: a scene is data, the same for physics, pictures, tasks and experts."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from robot.safety.limits import JOINTS
from robot.simulation.config import ready_angles
from vitra_lib.contracts.hand_track import Side
from vitra_lib.core.errors import BadInput, UnknownName

SPLITS = ("seen", "unseen-object", "unseen-background", "unseen-category")
PART_KINDS = {"box": 3, "sphere": 1, "cylinder": 2, "capsule": 2, "ellipsoid": 3, "vessel": 4}
"""Kinds of solids, and how many sizes each has."""

PartKind = Literal["box", "sphere", "cylinder", "capsule", "ellipsoid", "vessel"]


@dataclass(frozen=True, eq=False)
class Part:
    """One solid of a thing.

    Attributes:
        kind: box (half x, y, z) · sphere (radius) · cylinder, capsule (radius, half length of the axis, along z) ·
            ellipsoid (half axes) · vessel: open at +z, (radius at the rim, half height, wall, radius at the foot),
            centred at half its height; physics makes it of flat staves and a floor.
        size_m: as above.
        T_thing_part: pose in the thing's frame [m].
        colour: RGB 0 to 1 as on a screen; the thing's own when None.
        is_solid: takes part in contacts; False for paint.
        is_seen: is in the picture.
    """

    kind: PartKind
    size_m: tuple[float, ...]
    T_thing_part: Float[np.ndarray, "4 4"] = field(default_factory=lambda: np.eye(4))
    colour: tuple[float, float, float] | None = None
    is_solid: bool = True
    is_seen: bool = True

    def __post_init__(self) -> None:
        if self.kind not in PART_KINDS:
            raise UnknownName("kind of part", self.kind, PART_KINDS)
        if len(self.size_m) != PART_KINDS[self.kind] or not all(0 < s < 2 for s in self.size_m):
            raise BadInput(f"A {self.kind} has {PART_KINDS[self.kind]} sizes of 0 to 2 m, not {self.size_m}.")


@dataclass(frozen=True)
class Surface:
    """How a large surface looks.

    Attributes:
        family: of `vitra_lib.tabletop.render.TEXTURE_FAMILIES`.
        seed: of colours and pattern.
        tile_m: side of one tile [m].
    """

    family: str = "wood"
    seed: int = 0
    tile_m: float = 0.5


@dataclass(frozen=True, eq=False)
class Thing:
    """Something on the table.

    Attributes:
        name: unique in the scene.
        category: "cup", "box", "granule"…
        parts: its solids.
        mass_kg: of all parts together, spread over their volumes.
        T_world_thing: where it begins [m]; its frame is at the centre of its base, z up, unless a task says otherwise.
        colour: RGB 0 to 1 as on a screen.
        friction: sliding friction; a contact takes the larger of the two sides'.
        rolling_m: resistance to rolling [m]; keeps round things from rolling away, and makes their contacts dearer.
        spin_damping: of a free thing's rotation [N m s/rad] (and as little, in N s/m, of its motion): the cheap way to
            bring many small balls to rest; 1e-6 suits a granule of a gram.
        is_fixed: part of the table; never moves.
        words: how an instruction names it ("red cup").
        surface: texture of all parts; plain colour when None.
    """

    name: str
    category: str
    parts: tuple[Part, ...]
    mass_kg: float
    T_world_thing: Float[np.ndarray, "4 4"]
    colour: tuple[float, float, float] = (0.7, 0.7, 0.7)
    friction: float = 0.8
    rolling_m: float = 0.0
    spin_damping: float = 0.0
    is_fixed: bool = False
    words: str = ""
    surface: Surface | None = None

    def __post_init__(self) -> None:
        if not self.parts or not self.mass_kg > 0 or not self.friction > 0:
            raise BadInput(f"The thing {self.name} needs a part, a mass and a friction above 0.")


@dataclass(frozen=True, eq=False)
class HeadCamera:
    """Where the head camera is and how much it sees.

    Attributes:
        T_world_cam: OpenCV axes [m].
        fov_y_rad: whole vertical field of view; the horizontal one follows from the picture's shape.
    """

    T_world_cam: Float[np.ndarray, "4 4"]
    fov_y_rad: float = np.deg2rad(56.0)

    def K_px(self, width_px: int, height_px: int) -> Float[np.ndarray, "3 3"]:
        """Intrinsics of a picture of this size."""
        focal = 0.5 * height_px / np.tan(0.5 * self.fov_y_rad)
        return np.array([[focal, 0, (width_px - 1) / 2], [0, focal, (height_px - 1) / 2], [0, 0, 1.0]])


@dataclass(frozen=True)
class Look:
    """Light, table and what is behind it.

    Attributes:
        table, floor: surfaces.
        lamp_m: where the lamp is in the world.
        ambient: light from all around, 0 to 1.
    """

    table: Surface = Surface("wood", 1)
    floor: Surface = Surface("tiles", 2)
    lamp_m: tuple[float, float, float] = (0.2, 0.5, 1.3)
    ambient: float = 0.55


@dataclass(frozen=True, eq=False)
class Scene:
    """All that a trial begins with.

    Attributes:
        task: name of the task.
        split: one of `SPLITS`.
        seed: of everything in it.
        instruction: what is asked for, without the side ("Put the red cup into the box.").
        things: on the table; names differ.
        camera: head camera.
        target: name of the thing that the instruction is about.
        container: name of the thing that receives it, or "".
        look: colours and light.
        start_rad: the nineteen angles at the beginning.
        side: of the arm.
    """

    task: str
    split: str
    seed: int
    instruction: str
    things: tuple[Thing, ...]
    camera: HeadCamera
    target: str = ""
    container: str = ""
    look: Look = Look()
    start_rad: Float[np.ndarray, " joints"] = field(default_factory=ready_angles)
    side: Side = "right"

    def __post_init__(self) -> None:
        names = [thing.name for thing in self.things]
        if len(set(names)) != len(names):
            raise BadInput(f"Things of a scene need different names; these were given: {', '.join(names)}.")
        if self.split not in SPLITS:
            raise UnknownName("split", self.split, SPLITS)
        for name in (self.target, self.container):
            if name and name not in names:
                raise UnknownName("thing of the scene", name, names)
        if self.start_rad.shape != (JOINTS,):
            raise BadInput(f"start_rad must be {JOINTS} angles, not {self.start_rad.shape}.")

    def thing(self, name: str) -> Thing:
        """The thing of that name.

        Raises:
            UnknownName: there is none.
        """
        for thing in self.things:
            if thing.name == name:
                return thing
        raise UnknownName("thing of the scene", name, [thing.name for thing in self.things])


def head_camera(rng: np.random.Generator | None = None, side: Side = "right") -> HeadCamera:
    """A head above and behind the table, beside the arm's shoulder, looking down at the middle of the workspace.

    Args:
        rng: shifts eye and gaze by up to 2 cm and 1.5 cm; None for no shift.
        side: which arm; a right arm is on the right of the head.
    """
    left = 1.0 if side == "right" else -1.0
    eye, gaze = np.array([0.08, 0.40 * left, 0.62]), np.array([0.35, -0.02 * left, -0.08])
    if rng is not None:
        eye, gaze = eye + rng.uniform(-0.02, 0.02, 3), gaze + rng.uniform(-0.015, 0.015, 3)
    return HeadCamera(looking_at(eye, gaze))


def looking_at(eye: Float[np.ndarray, "3"], at: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """Pose of an upright camera at `eye` that looks at a point [m]: OpenCV axes, z forward, y down."""
    z = (at - eye) / np.linalg.norm(at - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    T = np.eye(4)
    T[:3, 0], T[:3, 1], T[:3, 2], T[:3, 3] = x, np.cross(z, x), z, eye
    return T
