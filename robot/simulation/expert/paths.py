"""Ways of the arm: poses of the hand to joint angles, straight lines of the hand, and their timing under the caps."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float

from robot.arm import IkConfig, load_arm, solve_ik
from robot.safety.config import SafetyConfig
from robot.safety.decide import obstructed
from robot.safety.limits import ARM_JOINTS
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import exp, log
from vitra_lib.geometry.transforms import invert, make

_SEEDS, _NEAR_S = 8, 1.6


@dataclass(frozen=True)
class PathConfig:
    """How ways are made.

    Attributes:
        speed_share, acceleration_share: of the safety layer's caps, so that it has nothing to correct.
        step_m, step_rad: spacing of the poses along a straight line of the hand.
        jump_rad: neighbouring poses of a line may not differ more in any joint; else the line is refused.
        limit_margin_rad: distance from the joint limits that a way keeps.
        slack_m: what a way keeps beyond the margins of the safety layer.
    """

    speed_share: float = 0.8
    acceleration_share: float = 0.6
    step_m: float = 0.015
    step_rad: float = 0.08
    jump_rad: float = 0.35
    limit_margin_rad: float = 0.03
    slack_m: float = 0.004

    def __post_init__(self) -> None:
        shares = ("speed_share", "acceleration_share")
        sizes = ("step_m", "step_rad", "jump_rad")
        wrong = [name for name in shares if not 0 < getattr(self, name) <= 1]
        wrong += [name for name in sizes if not getattr(self, name) > 0]
        wrong += [name for name in ("limit_margin_rad", "slack_m") if not getattr(self, name) >= 0]
        if wrong:
            raise BadInput(f"PathConfig: {', '.join(wrong)} is out of range (shares in (0, 1], sizes above 0).")


class PathPlanner:
    """Finds ways that the safety layer will let pass."""

    def __init__(self, safety: SafetyConfig, config: PathConfig | None = None) -> None:
        """
        Args:
            safety: caps, margins, and where the hand's base is on the flange.
            config: how ways are made.
        """
        self.safety, self.config = safety, config or PathConfig()
        self._arm = load_arm(safety.variant)
        self._T_hand_flange = invert(safety.scene.T_flange_hand)
        margin = self.config.limit_margin_rad
        self._lower = safety.limits.lower_rad[:ARM_JOINTS] + margin
        self._upper = safety.limits.upper_rad[:ARM_JOINTS] - margin

    def T_base_hand(self, q: Float[np.ndarray, "*batch 7"]) -> Float[np.ndarray, "*batch 4 4"]:
        """Where the arm's angles bring the hand's base."""
        return self._arm.forward(q) @ self.safety.scene.T_flange_hand

    def reach(
        self, T_base_hand: Float[np.ndarray, "4 4"], near: Float[np.ndarray, "7"], fingers: Float[np.ndarray, "12"]
    ) -> Float[np.ndarray, "7"] | None:
        """The angles nearest to `near`, in time at the speed caps, that bring the hand's base to a pose.

        Args:
            T_base_hand: the pose in the arm's base [m].
            near: angles from which the robot comes [rad].
            fingers: of the hand there [rad].

        Returns:
            None where the pose is out of reach, or where the safety layer would not let the robot be.
        """
        target, near = T_base_hand @ self._T_hand_flange, self._arm.tree.clip(near)
        spread = _spread(_SEEDS) * (self._upper - self._lower) + self._lower
        for seeds, iterations, furthest_s in ((near[None], 40, _NEAR_S), (spread, 50, np.inf)):
            found = solve_ik(self._arm, np.repeat(target[None], len(seeds), 0), seeds, IkConfig(iterations=iterations))
            away_s = (np.abs(found.q - near) / self.safety.speed_rad_s[:ARM_JOINTS]).max(1)
            good = found.is_reached & ((found.q >= self._lower) & (found.q <= self._upper)).all(1)
            good &= away_s <= furthest_s
            good[good] = self._is_free(found.q[good], fingers)
            if good.any():
                return found.q[np.flatnonzero(good)[away_s[good].argmin()]]
        return None

    def line(
        self, start: Float[np.ndarray, "7"], T_base_hand: Float[np.ndarray, "4 4"], fingers: Float[np.ndarray, "12"]
    ) -> Float[np.ndarray, "step 7"] | None:
        """Angles along the straight line (and even turn) of the hand's base from where `start` has it to a pose.

        Args:
            start: angles [rad]; the first row of the answer.
            T_base_hand: the last pose [m].
            fingers: of the hand meanwhile [rad].

        Returns:
            None where the line leaves the reach or the safety layer's room, or needs a jump.
        """
        T = self.T_base_hand(start)
        turn = log(T_base_hand[:3, :3] @ T[:3, :3].T)
        way = T_base_hand[:3, 3] - T[:3, 3]
        count = max(np.linalg.norm(way) / self.config.step_m, np.linalg.norm(turn) / self.config.step_rad)
        shares = np.linspace(0.0, 1.0, int(np.ceil(count)) + 1)[1:]
        rows = [start]
        for share in shares:
            pose = make(exp(share * turn) @ T[:3, :3], T[:3, 3] + share * way)
            found = solve_ik(self._arm, pose @ self._T_hand_flange, rows[-1], IkConfig(iterations=40))
            inside = ((found.q >= self._lower) & (found.q <= self._upper)).all()
            if not (found.is_reached and inside) or np.abs(found.q - rows[-1]).max() > self.config.jump_rad:
                return None
            rows.append(found.q)
        path = np.array(rows)
        return path if self._is_free(path[1:], fingers).all() else None

    def straight(
        self, start: Float[np.ndarray, "7"], stop: Float[np.ndarray, "7"], fingers: Float[np.ndarray, "12"]
    ) -> Float[np.ndarray, "step 7"] | None:
        """The straight way in joint space; None where the safety layer would stop it."""
        shares = np.linspace(0.0, 1.0, 2 + int(np.abs(stop - start).max() / 0.1))
        path = start + shares[:, None] * (stop - start)
        return path if self._is_free(path[1:], fingers).all() else None

    def timed(self, path: Float[np.ndarray, "step joints"]) -> Float[np.ndarray, "tick joints"]:
        """Where to be at every tick of the control loop to follow a way as fast as the shares of the caps allow.

        Speed along the way rises and falls evenly, so that it begins and ends at rest. The first point is left out.
        """
        safety, config = self.safety, self.config
        joints = path.shape[1]
        speed = config.speed_share * safety.speed_rad_s[:joints]
        rise = float((speed / (config.acceleration_share * safety.acceleration_rad_s2[:joints])).max())
        length = np.r_[0.0, np.cumsum((np.abs(np.diff(path, axis=0)) / speed).max(1))]
        total = length[-1]
        if total <= 1e-9:
            return path[-1:]
        top = min(1.0, float(np.sqrt(total / rise)))
        ramp, duration = top * rise, total / top + top * rise
        time = np.arange(1, int(np.ceil(duration / safety.period_s)) + 1) * safety.period_s
        time = np.minimum(time, duration)
        up, down = 0.5 * time**2 / rise, total - 0.5 * (duration - time) ** 2 / rise
        place = np.where(
            time < ramp, up, np.where(time > duration - ramp, down, 0.5 * top * ramp + top * (time - ramp))
        )
        return np.stack([np.interp(place, length, path[:, j]) for j in range(joints)], axis=1)

    def is_free(self, angles: Float[np.ndarray, "row joints"]) -> Bool[np.ndarray, " row"]:
        """True where the safety layer lets the robot be: angles of arm and hand [rad]."""
        return obstructed(self.safety, angles, self.config.slack_m) == 0

    def _is_free(self, q: np.ndarray, fingers: np.ndarray) -> np.ndarray:
        return self.is_free(np.concatenate([q, np.broadcast_to(fingers, (len(q), len(fingers)))], axis=1))


@cache
def _spread(count: int) -> np.ndarray:
    """(count, 7) starting points in the unit cube, the same ones always, away from its walls."""
    return np.random.default_rng(75).uniform(0.2, 0.8, (count, ARM_JOINTS))
