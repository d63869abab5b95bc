"""The simulation as a Gymnasium environment: one step is one step of a policy, and every command passes the gate."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces

from robot.arm import WristConfig, follow_wrist, load_arm
from robot.execution.policy_source import PER_HAND, hand_in_camera
from robot.safety.gate import Reading, SafetyGate, Wish
from robot.safety.limits import ARM_JOINTS, JOINTS
from robot.safety.reasons import names
from robot.simulation.config import RigConfig
from robot.simulation.driver import DriverConfig, SimulatedRig, open_simulation
from robot.simulation.physics import Simulation
from robot.simulation.scene import SPLITS, Scene
from vitra_lib.core.errors import BadInput, UnknownName

ACTIONS = ("wrist", "joints")
NAME = "vitra/XHandTabletop-v0"
"""Known to `gymnasium.make` once this module is imported."""
_WRIST_M, _WRIST_RAD = 0.15, 0.6  # bounds of one step of the wrist
_TEXT = "".join(chr(code) for code in range(32, 127))

Sampler = Callable[[str, int, str], Scene]
Judge = Callable[[Simulation, Scene], Any]


@dataclass(frozen=True)
class EnvironmentConfig:
    """What is played, and how.

    Attributes:
        task: name of a task.
        split: of its scenes.
        action: "wrist" = the policy's 18 numbers of one hand: [dt (3) m, euler(dR) (3) rad] of the hand mount in camera
            axes, then 12 finger angles [rad]; "joints" = 19 angles of arm and hand [rad].
        step_s: time of one step; 0.1 s is the rate of teleoperated data.
        duration_s: after so long an episode is truncated.
        width_px, height_px: of the picture.
    """

    task: str = "pick-place"
    split: str = "seen"
    action: Literal["wrist", "joints"] = "wrist"
    step_s: float = 0.1
    duration_s: float = 20.0
    width_px: int = 224
    height_px: int = 224

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UnknownName("kind of action", self.action, ACTIONS)
        if self.split not in SPLITS:
            raise UnknownName("split", self.split, SPLITS)
        if not 0.01 <= self.step_s <= 1 or not self.step_s <= self.duration_s <= 600:
            raise BadInput("step_s must be 0.01 to 1 s, duration_s from a step up to 600 s.")


class XHandTabletop(gymnasium.Env):
    """Arm, hand, head camera and a task on the table.

    An observation has `image` (height, width, 3), `state` (18: where the hand mount is in the camera [m, rad], and the
    finger angles), `joints` (19 measured angles [rad]) and the `instruction`. The reward is 1 on success, which ends
    the episode; the time limit or a stop of the safety layer truncates it (`info["reason"]`).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium's own attribute

    def __init__(
        self,
        config: EnvironmentConfig | None = None,
        rig: RigConfig | None = None,
        sampler: Sampler | None = None,
        judge: Judge | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        """
        Args:
            config: task and action.
            rig: arm and hand.
            sampler: scene from task, seed and split; that of `robot.simulation.tasks` when None.
            judge: outcome of a simulation and its scene; that of `robot.simulation.tasks` when None.
            render_mode: `render` gives the head camera's picture.
        """
        self.config, self._rig_config, self.render_mode = config or EnvironmentConfig(), rig or RigConfig(), render_mode
        self._sampler, self._judge = sampler or _sample_scene, judge or _outcome
        self._arm = load_arm(self._rig_config.variant)
        self._rig: SimulatedRig | None = None
        shape = (self.config.height_px, self.config.width_px, 3)
        angles = spaces.Box(-2 * np.pi, 2 * np.pi, (JOINTS,), np.float64)
        self.observation_space = spaces.Dict(
            image=spaces.Box(0, 255, shape, np.uint8),
            state=spaces.Box(-10.0, 10.0, (PER_HAND,), np.float64),
            joints=angles,
            instruction=spaces.Text(512, charset=_TEXT),
        )
        high = np.r_[np.full(3, _WRIST_M), np.full(3, _WRIST_RAD), np.full(PER_HAND - 6, np.pi)]
        self.action_space = spaces.Box(-high, high, dtype=np.float64) if self.config.action == "wrist" else angles

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """A new scene.

        Args:
            seed: of the scene; drawn from the environment's own generator when None.
            options: "split" or "scene" take the place of what would be sampled.
        """
        super().reset(seed=seed)
        options = options or {}
        scene_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        scene = options.get("scene")
        if scene is None:
            scene = self._sampler(self.config.task, scene_seed, options.get("split", self.config.split))
        driver = DriverConfig(width_px=self.config.width_px, height_px=self.config.height_px)
        rig = open_simulation(scene, self._rig_config, driver)
        rig.robot.connect()
        self._gate = SafetyGate(rig.safety)
        reading = rig.robot.read()
        self._gate.arm(reading, rig.clock.now())
        limits = rig.safety.limits
        self._target = np.clip(reading.position, limits.lower_rad, limits.upper_rad)
        self._rig, self._sequence = rig, 0
        return self._observation(reading), {"seed": scene_seed, "reason": "", "figures": {}}

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """One step of a policy.

        Args:
            action: see `EnvironmentConfig.action`.

        Raises:
            BadInput: the environment was not reset, or the action has another length or is not finite.
        """
        rig = self._opened()
        action = np.asarray(action, float)
        if action.shape != self.action_space.shape or not np.isfinite(action).all():
            raise BadInput(f"An action here is {self.action_space.shape[0]} finite numbers.")
        begin, target = self._target, self._angles(action)
        ticks, now = max(1, round(self.config.step_s / rig.safety.period_s)), rig.clock.now()
        stopped = False
        for tick in range(1, ticks + 1):
            wanted = begin + (target - begin) * (tick / ticks)
            stopped = not self._one(rig, wanted, now)
            if stopped:
                break
        self._target = target
        return self._result(rig, stopped)

    def render(self) -> np.ndarray | None:
        """The head camera's picture now (height, width, 3)."""
        return self._opened().camera.latest().image if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Let go of the simulation."""
        if self._rig is not None:
            self._rig.robot.disconnect()
        self._rig = None

    @property
    def rig(self) -> SimulatedRig:
        """The running trial: its simulation, view, robot and setup."""
        return self._opened()

    def _angles(self, action: np.ndarray) -> np.ndarray:
        """Joint targets of an action; a wrist step sets out from what was commanded last."""
        if self.config.action == "joints":
            return action
        setup = self._opened().setup
        guards = WristConfig(period_s=self.config.step_s)
        start = self._target[:ARM_JOINTS]
        plan = follow_wrist(self._arm, start, action[None, :6], setup.T_base_cam, setup.T_flange_mount, guards)
        return np.concatenate([plan.q[-1], action[6:]])

    def _one(self, rig: SimulatedRig, wanted: np.ndarray, observed_s: float) -> bool:
        """One tick of the loop; False when the gate lets nothing through any more."""
        self._sequence += 1
        reading = rig.robot.read()
        wish = Wish(wanted, rig.setup.side, self._sequence, observed_s)
        cleared = self._gate.tick(reading, wish, rig.clock.now())
        if cleared is None:
            rig.robot.stop()
            return False
        rig.robot.write(cleared)
        rig.clock.advance(rig.safety.period_s)
        return True

    def _result(self, rig: SimulatedRig, stopped: bool) -> tuple[dict, float, bool, bool, dict]:
        reading = rig.robot.read()
        found = self._judge(rig.simulation, rig.simulation.scene)
        is_late = rig.clock.now() >= self.config.duration_s - 1e-9
        reason = found.reason
        if stopped:
            reason = f"the safety layer stopped the robot: {', '.join(names(self._gate.last_reasons))}"
        info = {"reason": reason, "figures": dict(found.figures), "interventions": self._gate.last_reasons}
        done = bool(found.success)
        return self._observation(reading), float(done), done, not done and (stopped or is_late), info

    def _observation(self, reading: Reading) -> dict[str, Any]:
        rig = self._opened()
        return {
            "image": rig.camera.latest().image,
            "state": hand_in_camera(rig.setup, self._arm, reading.position),
            "joints": reading.position.copy(),
            "instruction": rig.setup.instruction,
        }

    def _opened(self) -> SimulatedRig:
        if self._rig is None:
            raise BadInput("The environment has no scene yet; call reset() first.")
        return self._rig


def _sample_scene(task: str, seed: int, split: str) -> Scene:
    from robot.simulation.tasks import sample_scene

    return sample_scene(task, seed, split)


def _outcome(simulation: Simulation, scene: Scene) -> Any:
    from robot.simulation.tasks import outcome

    return outcome(simulation, scene)


gymnasium.register(NAME, XHandTabletop)
