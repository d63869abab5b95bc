"""Arm, hand and table as a MuJoCo model, built from the joint tables and our own shapes (`rig.yaml`)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from robot.arm.model import load_arm
from robot.hand.table import RobotHand, load_hand
from robot.kinematic_tree import KinematicTree
from robot.safety.limits import rig_limits
from robot.simulation.config import RigConfig
from robot.tables import find_table, read_table
from vitra_lib.core.errors import MissingAsset

if TYPE_CHECKING:
    import mujoco

TABLE, ARM, FINGER, THUMB, PALM, THING = (1 << i for i in range(6))
"""Collision classes: things touch everything; the hand touches table and things, the thumb also the fingers."""
_TOUCHES = {TABLE: ARM | FINGER | THUMB | PALM, ARM: TABLE, FINGER: TABLE | THUMB, THUMB: TABLE | FINGER, PALM: TABLE}
TABLE_CENTRE_M, TABLE_HALF_M = (0.33, 0.0), (0.58, 0.75)
FLOOR_BELOW_M = 0.72
FINGERS = ("thumb", "index", "middle", "ring", "pinky")


def load_mujoco() -> Any:
    """The package.

    Raises:
        MissingAsset: it is not installed.
    """
    try:
        import mujoco
    except ImportError as error:
        raise MissingAsset(f"The simulation needs the package mujoco ({error}): pip install mujoco.") from error
    return mujoco


@dataclass(frozen=True, eq=False)
class Rig:
    """Where the rig's parts are in a compiled model.

    Attributes:
        config: of the rig.
        qpos, dof, actuator: (19,) indices of the joints, arm first.
        hand_body, flange_body: bodies of the hand's base and of the last link.
        tip_sites: (5,) sites of the finger tips, thumb to pinky.
        palm_site, mount_site: middle of the palm's surface (x out of it), and the hand mount.
    """

    config: RigConfig
    qpos: Int[np.ndarray, " joints"]
    dof: Int[np.ndarray, " joints"]
    actuator: Int[np.ndarray, " joints"]
    hand_body: int
    flange_body: int
    tip_sites: Int[np.ndarray, " finger"]
    palm_site: int
    mount_site: int

    @classmethod
    def of(cls, model: "mujoco.MjModel", config: RigConfig) -> "Rig":
        """Look the parts up by name."""
        names = rig_limits().names
        joints = [model.joint(name) for name in names]
        return cls(
            config,
            np.array([joint.qposadr[0] for joint in joints]),
            np.array([joint.dofadr[0] for joint in joints]),
            np.array([model.actuator(name).id for name in names]),
            model.body("hand.base").id,
            model.body("arm.joint_7").id,
            np.array([model.site(f"tip.{finger}").id for finger in FINGERS]),
            model.site("palm").id,
            model.site("mount").id,
        )


def rig_spec(config: RigConfig | None = None) -> "mujoco.MjSpec":
    """Table, floor, arm and hand as an editable MuJoCo model; things are added by `physics`.

    Bodies and joints are called as in `rig_limits().names`; bodies stand where their joints' frames are.

    Args:
        config: the rig.

    Raises:
        MissingAsset: MuJoCo is not installed.
    """
    mujoco, config = load_mujoco(), config or RigConfig()
    spec = mujoco.MjSpec()
    spec.modelname = f"{config.variant} with a {config.side} xhand"
    spec.compiler.degree = False
    option = spec.option
    option.timestep = config.physics_step_s
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = 10.0  # contacts that hold a grasp slip less
    option.iterations, option.tolerance = 30, 1e-6
    _add_surroundings(spec, config)
    shapes = read_table(Path(__file__).parent / "rig.yaml")
    flange = _add_arm(spec, config, shapes["arm"])
    _add_hand(spec, flange, config, shapes["hand"])
    return spec


def place(body: Any, T: Float[np.ndarray, "4 4"]) -> Any:
    """Set the pose of a body, geom or site of a model under construction."""
    body.pos = T[:3, 3]
    body.quat = Rotation.from_matrix(T[:3, :3]).as_quat()[[3, 0, 1, 2]]
    return body


def touch(geom: Any, kind: int, friction: float, condim: int = 3, rolling_m: float = 0.0) -> Any:
    """Give a geom its collision class and friction."""
    geom.contype = kind
    geom.conaffinity = _TOUCHES.get(kind, sum(_TOUCHES) | THING) | THING
    geom.condim = condim
    geom.friction = [friction, 0.005, max(rolling_m, 1e-5)]
    return geom


def _add_surroundings(spec: "mujoco.MjSpec", config: RigConfig) -> None:
    mujoco, world = load_mujoco(), spec.worldbody
    box = mujoco.mjtGeom.mjGEOM_BOX
    table = world.add_body(name="table", pos=[*TABLE_CENTRE_M, config.table_z_m - 0.02])
    touch(table.add_geom(name="table", type=box, size=[*TABLE_HALF_M, 0.02]), TABLE, 0.8)
    floor = world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[3, 3, 0.1])
    floor.pos = [0.0, 0.0, config.table_z_m - FLOOR_BELOW_M]
    touch(floor, TABLE, 0.8)
    if config.table_z_m < 0:
        riser = world.add_geom(name="riser", type=box, size=[0.09, 0.09, -0.5 * config.table_z_m])
        riser.pos = [0.0, 0.0, 0.5 * config.table_z_m]
        touch(riser, TABLE, 0.8)


def _add_arm(spec: "mujoco.MjSpec", config: RigConfig, shapes: dict) -> Any:
    """Base and seven links; returns the last."""
    tree, rows = load_arm(config.variant).tree, find_table("arm", "rm75")["joints"]
    base = spec.worldbody.add_body(name="arm.base")
    _add_shape(base, "arm.base", shapes["base"], 0.0, ARM)
    reach = _widest_deg(rows)
    body = base
    for number, name in enumerate(tree.names):
        body = place(body.add_body(name=f"arm.{name}", gravcomp=1.0), tree.T_parent_joint[number])
        joint = {
            "axis": tree.axis[number],
            "range": np.deg2rad(reach[number]),
            "armature": shapes["armature"][number],
            "damping": shapes["damping"][number],
        }
        _add_joint(spec, body, f"arm.{name}", joint, shapes["stiffness"][number], rows[number]["effort_nm"])
        _add_shape(body, f"arm.{name}", shapes["links"][number], tree.T_parent_joint[-1, 1, 3], ARM)
    return body


def _widest_deg(rows: list[dict]) -> list[tuple[float, float]]:
    """Limits that any source allows: what the hardware can do; what may be commanded is the safety layer's matter."""
    pairs = [list(row["limits_deg"].values()) for row in rows]
    return [(min(p[0] for p in each), max(p[1] for p in each)) for each in pairs]


def _add_joint(spec: Any, body: Any, name: str, joint: dict, stiffness: float, effort: float) -> None:
    """A hinge with its position servo, whose force is limited."""
    mujoco = load_mujoco()
    hinge = body.add_joint(name=name, type=mujoco.mjtJoint.mjJNT_HINGE, **joint)
    hinge.limited = True
    servo = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    servo.set_to_position(kp=stiffness, dampratio=1.0)
    servo.forcerange, servo.forcelimited = [-effort, effort], True
    servo.ctrlrange, servo.ctrllimited = joint["range"], True


def _add_shape(body: Any, name: str, row: dict, flange_y_m: float, kind: int) -> None:
    mujoco = load_mujoco()
    start, stop = ([flange_y_m if x == "flange" else x for x in row.get(key, [])] for key in ("from_m", "to_m"))
    shape = getattr(mujoco.mjtGeom, f"mjGEOM_{row['shape'].upper()}")
    geom = body.add_geom(name=name, type=shape, size=[row["radius_m"], 0, 0], mass=row["mass_kg"])
    if stop:
        geom.fromto = [*start, *stop]
    else:
        geom.pos = start
    touch(geom, kind, 0.6)


def _add_hand(spec: "mujoco.MjSpec", flange: Any, config: RigConfig, shapes: dict) -> None:
    mujoco, hand = load_mujoco(), load_hand("xhand", config.side)
    mirror = np.array([1.0, -1.0 if config.side == "left" else 1.0, 1.0])
    base = place(flange.add_body(name="hand.base", gravcomp=1.0), config.T_flange_hand)
    palm = shapes["palm"]
    centre, half = np.array(palm["centre_m"]) * mirror, palm["half_m"]
    geom = base.add_geom(name="palm", type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=centre, mass=palm["mass_kg"])
    touch(geom, PALM, config.finger_friction, 4)
    base.add_site(name="palm", pos=centre + [half[0], 0.0, 0.0])
    mount = np.eye(4)
    mount[:3, :3] = hand.R_mount_base.T
    place(base.add_site(name="mount"), mount)
    rows, links = find_table("hand", "xhand")["joints"], []
    for number, (name, parent) in enumerate(zip(hand.tree.names, hand.tree.parent, strict=True)):
        above = base if parent < 0 else links[parent]
        link = place(above.add_body(name=f"hand.{name}", gravcomp=1.0), hand.tree.T_parent_joint[number])
        grade = "strong" if rows[number]["effort_nm"] > 1.0 else "weak"
        joint = {
            "axis": hand.tree.axis[number],
            "range": hand.widest[:, number],
            "armature": shapes["armature"][grade],
            "damping": shapes["damping"][grade],
        }
        _add_joint(spec, link, f"hand.{name}", joint, shapes["stiffness"][grade], rows[number]["effort_nm"])
        links.append(link)
        _add_phalanx(link, hand, number, shapes, config.finger_friction)


def _add_phalanx(link: Any, hand: RobotHand, number: int, shapes: dict, friction: float) -> None:
    """A capsule from the joint to the next one, or to the tip whose surface ends where the table's tip is."""
    mujoco, name = load_mujoco(), hand.tree.names[number]
    is_thumb = name.startswith("thumb")
    child = _child(hand.tree, number)
    radii = shapes["radius_m"]
    if child is None:
        finger = int(np.flatnonzero(hand.tip_joint == number)[0])
        tip = hand.tip_offset_m[finger]
        radius = radii["thumb_tip" if is_thumb else "tip"]
        end = tip * (1.0 - radius / np.linalg.norm(tip))
        link.add_site(name=f"tip.{FINGERS[finger]}", pos=tip)
    else:
        end = hand.tree.T_parent_joint[child, :3, 3]
        radius = radii["thumb" if is_thumb else "knuckle" if name == "index_bend_joint" else "finger"]
    geom = link.add_geom(name=f"hand.{name}", type=mujoco.mjtGeom.mjGEOM_CAPSULE, size=[radius, 0, 0])
    geom.fromto = [0.0, 0.0, 0.0, *end]
    geom.mass = shapes["mass_kg"][number]
    touch(geom, THUMB if is_thumb else FINGER, friction, 4)


def _child(tree: KinematicTree, number: int) -> int | None:
    found = np.flatnonzero(tree.parent == number)
    return int(found[0]) if len(found) else None
