"""A scene in motion: joint targets in, measured angles, poses and contacts out; deterministic from the scene."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.safety.limits import JOINTS
from robot.simulation.config import CONTROL_PERIOD_S, RigConfig
from robot.simulation.rig import Rig, load_mujoco, rig_spec
from robot.simulation.scene import Scene
from robot.simulation.things import add_thing
from vitra_lib.core.errors import BadInput, UnknownName

PARTS = ("table", "arm", "palm", "thumb", "index", "middle", "ring", "pinky")
"""What a contact can be with besides a thing."""
_SETTLE_S = 0.4


@dataclass(frozen=True, eq=False)
class Contact:
    """Two bodies that touch.

    Attributes:
        first, second: names of things, or of `PARTS`.
        point_world: where [m].
        normal_world: unit vector from the first to the second.
        force_n: how hard they press [N].
    """

    first: str
    second: str
    point_world: Float[np.ndarray, "3"]
    normal_world: Float[np.ndarray, "3"]
    force_n: float


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All of a simulation's state; from it the same steps give the same numbers.

    Attributes:
        state: of the integrator.
    """

    state: Float[np.ndarray, " numbers"]


class Simulation:
    """One trial.

    Attributes:
        scene: what it began with.
        rig: where arm and hand are in the model.
        model, data: MuJoCo's.
    """

    def __init__(self, scene: Scene, config: RigConfig | None = None) -> None:
        """
        Args:
            scene: things, camera, first angles.
            config: the rig; the default one of the scene's side when None.

        Raises:
            BadInput: the rig is for the other side, or things can't be built.
            MissingAsset: MuJoCo is not installed.
        """
        self._mujoco, config = load_mujoco(), config or RigConfig(side=scene.side)
        if config.side != scene.side:
            raise BadInput(f"The scene is for the {scene.side} arm, the rig is the {config.side} one.")
        self.scene = scene
        spec = rig_spec(config)
        for thing in scene.things:
            if any(part.is_solid for part in thing.parts):
                add_thing(spec, thing)
        self.model = spec.compile()
        self.data = self._mujoco.MjData(self.model)
        self.rig = Rig.of(self.model, config)
        self._names = [self._called(geom) for geom in range(self.model.ngeom)]
        self.reset()

    def reset(self) -> None:
        """Back to the beginning: the arm at its first angles, the things come to rest for 0.4 s."""
        mujoco, model, data = self._mujoco, self.model, self.data
        self._owed = 0.0  # time asked for, less than a physics step, that has not passed yet
        mujoco.mj_resetData(model, data)
        data.qpos[self.rig.qpos] = self.scene.start_rad
        data.ctrl[self.rig.actuator] = self.scene.start_rad
        mujoco.mj_forward(model, data)
        for _ in range(round(_SETTLE_S / model.opt.timestep)):
            mujoco.mj_step(model, data)
        data.time = 0.0
        mujoco.mj_forward(model, data)

    @property
    def time_s(self) -> float:
        """Since the last reset."""
        return float(self.data.time)

    @property
    def measured(self) -> Float[np.ndarray, " joints"]:
        """Angles of arm and hand [rad]."""
        return self.data.qpos[self.rig.qpos].copy()

    @property
    def velocity(self) -> Float[np.ndarray, " joints"]:
        """Speeds of arm and hand [rad/s]."""
        return self.data.qvel[self.rig.dof].copy()

    @property
    def torque(self) -> Float[np.ndarray, " joints"]:
        """What the servos give [N m]."""
        return self.data.actuator_force[self.rig.actuator].copy()

    @property
    def target(self) -> Float[np.ndarray, " joints"]:
        """Where the servos are sent now [rad]."""
        return self.data.ctrl[self.rig.actuator].copy()

    def step(
        self, target: Float[np.ndarray, " joints"], duration_s: float = CONTROL_PERIOD_S, ramp_s: float = np.inf
    ) -> None:
        """Move the servos' targets evenly to new ones, and let that time pass.

        Args:
            target: angles of arm and hand [rad].
            duration_s: rounded to whole physics steps, without drift over many calls.
            ramp_s: the servos' targets get there in this time, and at the latest at the end.

        Raises:
            BadInput: a target is not finite.
        """
        if target.shape != (JOINTS,) or not np.isfinite(target).all():
            raise BadInput(f"The simulation takes {JOINTS} finite angles; these are not.")
        if not 0 <= duration_s <= 60:
            raise BadInput(f"duration_s is {duration_s}; legal are 0 to 60 s.")
        dt = self.model.opt.timestep
        self._owed += duration_s
        steps = int(np.floor(self._owed / dt + 1e-9))
        self._owed -= steps * dt
        data, actuator = self.data, self.rig.actuator
        begin, ramp = data.ctrl[actuator].copy(), max(1.0, min(steps, ramp_s / dt))
        for k in range(1, steps + 1):
            data.ctrl[actuator] = begin + (target - begin) * min(1.0, k / ramp)
            self._mujoco.mj_step(self.model, data)
        if steps:
            self._mujoco.mj_kinematics(self.model, data)  # poses belong to the last positions

    def T_world_thing(self, name: str) -> Float[np.ndarray, "4 4"]:
        """Pose of a thing now [m].

        Raises:
            UnknownName: no such thing.
        """
        thing = self.scene.thing(name)
        if not any(part.is_solid for part in thing.parts):
            return thing.T_world_thing
        return self._pose(self.data.body(name))

    def thing_speed(self, name: str) -> tuple[float, float]:
        """Speed [m/s] and turning speed [rad/s] of a thing; 0 for fixed ones."""
        if self.scene.thing(name).is_fixed:
            return 0.0, 0.0
        speed = self.data.joint(name).qvel
        return float(np.linalg.norm(speed[:3])), float(np.linalg.norm(speed[3:]))

    def T_world_body(self, name: str) -> Float[np.ndarray, "4 4"]:
        """Pose of a body of the model ("arm.joint_3", "hand.base"…) [m]."""
        return self._pose(self.data.body(name))

    @property
    def T_world_flange(self) -> Float[np.ndarray, "4 4"]:
        """The arm's flange [m]."""
        return self._pose(self.data.body(self.rig.flange_body))

    @property
    def T_world_hand(self) -> Float[np.ndarray, "4 4"]:
        """The hand's base: z to the fingers, x out of the palm [m]."""
        return self._pose(self.data.body(self.rig.hand_body))

    @property
    def T_world_mount(self) -> Float[np.ndarray, "4 4"]:
        """The hand mount, which is the wrist of the policy [m]."""
        return self._pose(self.data.site(self.rig.mount_site))

    @property
    def palm_world(self) -> Float[np.ndarray, "3"]:
        """Middle of the palm's surface [m]."""
        return self.data.site_xpos[self.rig.palm_site].copy()

    @property
    def tips_world(self) -> Float[np.ndarray, "5 3"]:
        """Finger tips, thumb to pinky [m]."""
        return self.data.site_xpos[self.rig.tip_sites].copy()

    def contacts(self, least_n: float = 0.0) -> tuple[Contact, ...]:
        """All contacts between different bodies that press at least so hard [N]."""
        found = []
        force = np.zeros(6)
        for number in range(self.data.ncon):
            contact = self.data.contact[number]
            self._mujoco.mj_contactForce(self.model, self.data, number, force)
            if force[0] >= least_n:
                first, second = (self._names[geom] for geom in contact.geom)
                found.append(Contact(first, second, contact.pos.copy(), contact.frame[:3].copy(), float(force[0])))
        return tuple(found)

    def touching(self, name: str) -> dict[str, float]:
        """Who touches a thing, and how hard in sum [N].

        Args:
            name: of the thing, or one of `PARTS`.
        """
        found: dict[str, float] = {}
        for contact in self.contacts():
            if name in (contact.first, contact.second):
                other = contact.second if contact.first == name else contact.first
                found[other] = found.get(other, 0.0) + contact.force_n
        return found

    def snapshot(self) -> Snapshot:
        """The state now."""
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.zeros(self._mujoco.mj_stateSize(self.model, kind) + 1)
        self._mujoco.mj_getState(self.model, self.data, state[:-1], kind)
        state[-1] = self._owed
        return Snapshot(state)

    def restore(self, snapshot: Snapshot) -> None:
        """Back to a state of this simulation."""
        kind = self._mujoco.mjtState.mjSTATE_INTEGRATION
        if len(snapshot.state) != self._mujoco.mj_stateSize(self.model, kind) + 1:
            raise BadInput("The snapshot is of another scene.")
        self._mujoco.mj_setState(self.model, self.data, snapshot.state[:-1], kind)
        self._owed = float(snapshot.state[-1])
        self._mujoco.mj_forward(self.model, self.data)

    @staticmethod
    def _pose(view: Any) -> Float[np.ndarray, "4 4"]:
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = view.xmat.reshape(3, 3), view.xpos
        return T

    def _called(self, geom: int) -> str:
        """A geom's name in contacts: a thing's, or one of `PARTS`."""
        body = self.model.body(self.model.geom_bodyid[geom]).name
        if body in {thing.name for thing in self.scene.things}:
            return body
        if body.startswith("arm."):
            return "arm"
        if body == "hand.base":
            return "palm"
        if body.startswith("hand."):
            finger = body.removeprefix("hand.").split("_")[0]
            return {"mid": "middle"}.get(finger, finger)
        return "table"


def thing_names(scene: Scene, category: str) -> tuple[str, ...]:
    """Names of all things of a category, in order.

    Raises:
        UnknownName: there is none.
    """
    found = tuple(thing.name for thing in scene.things if thing.category == category)
    if not found:
        raise UnknownName("category in the scene", category, sorted({thing.category for thing in scene.things}))
    return found
