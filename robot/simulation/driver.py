"""The simulation behind the drivers' protocols, so that loop, safety layer, policies and replay run in it unchanged."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from robot.drivers.clock import Clock, ManualClock
from robot.drivers.protocol import CameraFrame, DriverFault
from robot.execution.policy_source import Setup
from robot.safety.config import SafetyConfig
from robot.safety.gate import Cleared, Reading
from robot.simulation.config import CONTROL_PERIOD_S, RigConfig, rig_safety
from robot.simulation.physics import Simulation
from robot.simulation.scene import Scene
from robot.simulation.view import SceneView
from vitra_lib.captioning.instruction import two_hand_instruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput

_TIME_EPS_S = 1e-9


@dataclass(frozen=True)
class DriverConfig:
    """What the simulated hardware is like.

    Attributes:
        noise_rad: standard deviation of a measured angle.
        seed: of the noise.
        camera_fps: pictures per second, at most.
        width_px, height_px: of a picture.
    """

    noise_rad: float = 0.0
    seed: int = 0
    camera_fps: float = 30.0
    width_px: int = 224
    height_px: int = 224

    def __post_init__(self) -> None:
        if not 0 <= self.noise_rad < 0.1 or not 0 < self.camera_fps <= 200:
            raise BadInput("noise_rad must be 0 to 0.1, camera_fps above 0 and at most 200.")
        if not (8 <= self.width_px <= 4096 and 8 <= self.height_px <= 4096):
            raise BadInput(f"A picture of {self.width_px} x {self.height_px} pixels: legal are 8 to 4096.")


class SimulatedRobot:
    """Arm and hand of a simulation. Its time passes when the clock's does, whenever the robot is asked for something.

    Attributes:
        simulation: what it moves.
    """

    def __init__(self, simulation: Simulation, clock: Clock, config: DriverConfig | None = None) -> None:
        """
        Args:
            simulation: as it is now.
            clock: of the control loop.
            config: noise.
        """
        self.simulation, self._clock, self._config = simulation, clock, config or DriverConfig()
        self._rng = np.random.default_rng(self._config.seed)
        self._target, self._time_s = simulation.target, clock.now()
        self._is_open = False

    def connect(self) -> None:
        """Begin; what was before on the clock did not happen to the simulation."""
        self._is_open, self._time_s = True, self._clock.now()

    def read(self) -> Reading:
        """Where the joints are now."""
        self._check()
        self.settle()
        noise = self._rng.normal(0.0, self._config.noise_rad, len(self._target)) if self._config.noise_rad else 0.0
        now, fps = self._clock.now(), self._config.camera_fps
        return Reading(self.simulation.measured + noise, now, np.floor(now * fps + _TIME_EPS_S) / fps)

    def write(self, command: Cleared) -> None:
        """Send the servos to a command, evenly over one period of the loop."""
        self._check()
        self.settle()
        self._target = command.position.copy()

    def stop(self) -> None:
        """Hold where it is."""
        if self._is_open:
            self.settle()
            self._target = self.simulation.measured

    def disconnect(self) -> None:
        """End."""
        self._is_open = False

    def settle(self) -> None:
        """Let the simulation come up to the clock."""
        now = self._clock.now()
        if now > self._time_s:
            self.simulation.step(self._target, now - self._time_s, CONTROL_PERIOD_S)
            self._time_s = now

    def _check(self) -> None:
        if not self._is_open:
            raise DriverFault("The simulated robot is not connected; call connect() first.")


class SimulatedCamera:
    """The head camera of a simulation; a picture is drawn when it is asked for, and kept until the next is due."""

    def __init__(
        self, robot: SimulatedRobot, view: SceneView, clock: Clock, config: DriverConfig | None = None
    ) -> None:
        """
        Args:
            robot: on the same clock.
            view: of its scene.
            clock: of the control loop.
            config: rate and size.
        """
        self._robot, self._view, self._clock, self._config = robot, view, clock, config or DriverConfig()
        self._last: CameraFrame | None = None

    def connect(self) -> None:
        """Forget old pictures."""
        self._last = None

    def latest(self) -> CameraFrame:
        """The newest picture, with its time on the clock."""
        self._robot.settle()
        now, config = self._clock.now(), self._config
        if self._last is None or now - self._last.at_s > 1.0 / config.camera_fps - _TIME_EPS_S:
            frame = self._view.picture(self._robot.simulation, config.width_px, config.height_px)
            self._last = CameraFrame(frame.image, now, frame.K_px)
        return self._last

    def disconnect(self) -> None:
        """Nothing to close."""


@dataclass(frozen=True, eq=False)
class SimulatedRig:
    """All that a run in simulation needs, on one clock that only the run turns.

    Attributes:
        simulation, view: the trial and its pictures.
        robot, camera, clock: for loop and source.
        setup: where camera and wrist are, and the instruction in the training template.
        safety: limits for the gate.
    """

    simulation: Simulation
    view: SceneView
    robot: SimulatedRobot
    camera: SimulatedCamera
    clock: ManualClock
    setup: Setup
    safety: SafetyConfig


def open_simulation(
    scene: Scene,
    config: RigConfig | None = None,
    driver: DriverConfig | None = None,
    period_s: float = CONTROL_PERIOD_S,
) -> SimulatedRig:
    """A scene as a robot with its camera, clock, setup and safety limits.

    Args:
        scene: what stands on the table.
        config: the rig; the default one of the scene's side when None.
        driver: noise and pictures.
        period_s: of the control loop.
    """
    config, driver, clock = config or RigConfig(side=scene.side), driver or DriverConfig(), ManualClock()
    simulation, view = Simulation(scene, config), SceneView(scene, config)
    robot = SimulatedRobot(simulation, clock, driver)
    camera = SimulatedCamera(robot, view, clock, driver)
    instruction = sided_instruction(scene)
    setup = Setup(scene.side, instruction, camera_in_base(scene), config.T_flange_mount)
    return SimulatedRig(simulation, view, robot, camera, clock, setup, rig_safety(config, period_s))


def sided_instruction(scene: Scene) -> str:
    """What the one hand does, in the training template."""
    return two_hand_instruction(*(scene.instruction if side == scene.side else None for side in SIDES))


def camera_in_base(scene: Scene) -> Float[np.ndarray, "4 4"]:
    """T_base_cam of a scene: the world is the arm's base."""
    return scene.camera.T_world_cam.copy()
