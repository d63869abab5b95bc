"""What an expert's script is made of: generators that give one target of all nineteen angles per tick of the loop.

A script says `done = yield from actor.line(...)`. Every primitive returns whether it could be done; one that can't
yields nothing and leaves the robot where it is. Scripts know the true poses of all things (`actor.simulation`).
"""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float

from robot.safety.limits import ARM_JOINTS
from robot.simulation.expert.clearance import Surroundings
from robot.simulation.expert.paths import PathPlanner
from robot.simulation.physics import Simulation

Targets = Iterator[Float[np.ndarray, " joints"]]
_BLOCKED_S, _MOVING_RAD_S = 0.2, 0.12
_STOREYS, _STOREY_M = 2, 0.09
_DETOURS = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 1), (1, 2), (2, 2))


class Actor:
    """The robot as a script sees it.

    Attributes:
        simulation: the trial; a script only looks at it.
        planner: of ways.
        surroundings: things that ways must not meet.
        target: what is commanded now: arm, then hand [rad].
        attempts: how many the script has begun.
    """

    def __init__(self, simulation: Simulation, planner: PathPlanner) -> None:
        """
        Args:
            simulation: the trial.
            planner: for its rig.
        """
        self.simulation, self.planner = simulation, planner
        self.surroundings = Surroundings(simulation)
        limits = planner.safety.limits
        self._limits = limits.lower_rad[ARM_JOINTS:] + 0.005, limits.upper_rad[ARM_JOINTS:] - 0.005
        self.attempts = 0
        self.target = simulation.measured
        self.target[ARM_JOINTS:] = np.clip(self.target[ARM_JOINTS:], *self._limits)

    @property
    def period_s(self) -> float:
        """Of the control loop."""
        return self.planner.safety.period_s

    @property
    def arm(self) -> Float[np.ndarray, "7"]:
        """The arm's commanded angles [rad]."""
        return self.target[:ARM_JOINTS]

    @property
    def fingers(self) -> Float[np.ndarray, "12"]:
        """The hand's commanded angles [rad]."""
        return self.target[ARM_JOINTS:]

    @property
    def T_world_hand(self) -> Float[np.ndarray, "4 4"]:
        """Where the hand's base is commanded to be [m]."""
        return self.planner.T_base_hand(self.arm)

    def follow(
        self, path: Float[np.ndarray, "step 7"], fingers: Float[np.ndarray, "12"] | None = None
    ) -> Iterator[Any]:
        """Follow a way of the arm at the speed that the caps allow, the fingers closing or opening on the way.

        Args:
            path: of the arm; begins where it is commanded to be [rad].
            fingers: of the hand at the end [rad]; as they are when None.
        """
        fingers = self.fingers if fingers is None else np.clip(fingers, *self._limits)
        for row in self.planner.timed(self._with_fingers(path, fingers)):
            self.target = row
            yield row
        return True

    def go(
        self,
        T_world_hand: Float[np.ndarray, "4 4"],
        fingers: Float[np.ndarray, "12"] | None = None,
        ignoring: Collection[str] = (),
        held: str = "",
    ) -> Iterator[Any]:
        """Bring the hand's base to a pose, meeting nothing; the posture of the arm may change.

        The straight way in joint space is tried first, then ways over higher places.

        Args:
            T_world_hand: the pose [m].
            fingers: of the hand there [rad]; as they are when None.
            ignoring: things that may be met.
            held: the thing in the hand, which must not meet others either; or "".
        """
        there = self.fingers if fingers is None else fingers
        path = self.way(T_world_hand, there, ignoring, held)
        if path is None:
            return False
        return (yield from self.follow(path, there))

    def way(
        self,
        T_world_hand: Float[np.ndarray, "4 4"],
        fingers: Float[np.ndarray, "12"],
        ignoring: Collection[str] = (),
        held: str = "",
    ) -> Float[np.ndarray, "step 7"] | None:
        """The way that `go` would take, or None."""
        q = self.planner.reach(T_world_hand, self.arm, fingers)
        return None if q is None else self.way_to(q, fingers, ignoring, held)

    def way_to(
        self,
        q: Float[np.ndarray, "7"],
        fingers: Float[np.ndarray, "12"],
        ignoring: Collection[str] = (),
        held: str = "",
    ) -> Float[np.ndarray, "step 7"] | None:
        """As `way`, to given angles of the arm."""
        begin: list | None = None
        end: list = []
        for up, over in _DETOURS:
            if (up or over) and begin is None:
                begin, end = self._raised(self.arm), self._raised(q)
            via = () if begin is None else (*begin[:up], *end[:over][::-1])
            path = self._through([self.arm, *via, q], fingers)
            if path is not None and self._passes(path, fingers) and not self.meets(path, fingers, ignoring, held):
                return path
        return None

    def meets(
        self,
        path: Float[np.ndarray, "step 7"],
        fingers: Float[np.ndarray, "12"],
        ignoring: Collection[str] = (),
        held: str = "",
    ) -> str:
        """The first thing that is met on a way of the arm, the fingers changing from now to `fingers`; or ""."""
        return self.surroundings.meets(self._with_fingers(path, fingers), ignoring, held)

    def _with_fingers(
        self, path: Float[np.ndarray, "step 7"], fingers: Float[np.ndarray, "12"]
    ) -> Float[np.ndarray, "step joints"]:
        """A way of the arm with the fingers changing on it from now to `fingers`."""
        way = np.abs(np.diff(path, axis=0)).max(1).cumsum() if len(path) > 1 else np.zeros(0)
        share = np.r_[0.0, way / way[-1]] if len(way) and way[-1] > 0 else np.linspace(0.0, 1.0, len(path))
        return np.hstack([path, self.fingers + share[:, None] * (fingers - self.fingers)])

    def _passes(self, path: Float[np.ndarray, "step 7"], fingers: Float[np.ndarray, "12"]) -> bool:
        """The safety layer lets the whole way pass."""
        return bool(self.planner.is_free(self._with_fingers(path, fingers)[1:]).all())

    def _raised(self, q: Float[np.ndarray, "7"]) -> list[Float[np.ndarray, "7"]]:
        """Angles that have the hand higher and higher above where `q` has it."""
        found, T = [], self.planner.T_base_hand(q)
        for _ in range(_STOREYS):
            T = T.copy()
            T[2, 3] += _STOREY_M
            above = self.planner.line(found[-1] if found else q, T, self.fingers)
            if above is None:
                break
            found.append(above[-1])
        return found

    def _through(
        self, corners: list[Float[np.ndarray, "7"]], fingers: Float[np.ndarray, "12"]
    ) -> Float[np.ndarray, "step 7"] | None:
        """Straight ways in joint space from corner to corner."""
        parts = [corners[0][None]]
        for start, stop in zip(corners[:-1], corners[1:], strict=True):
            part = self.planner.straight(start, stop, fingers)
            if part is None:
                return None
            parts.append(part[1:])
        return np.concatenate(parts)

    def line(
        self, T_world_hand: Float[np.ndarray, "4 4"], fingers: Float[np.ndarray, "12"] | None = None
    ) -> Iterator[Any]:
        """Bring the hand's base to a pose on the straight line in space."""
        path = self.planner.line(self.arm, T_world_hand, self.fingers if fingers is None else fingers)
        if path is None:
            return False
        return (yield from self.follow(path, fingers))

    def shift(
        self, by_world_m: Float[np.ndarray, "3"], fingers: Float[np.ndarray, "12"] | None = None
    ) -> Iterator[Any]:
        """Move the hand by a vector without turning it."""
        T = self.T_world_hand.copy()
        T[:3, 3] += by_world_m
        return (yield from self.line(T, fingers))

    def shape(self, fingers: Float[np.ndarray, "12"]) -> Iterator[Any]:
        """Move the fingers alone to given angles [rad]."""
        return (yield from self.follow(np.stack([self.arm, self.arm]), fingers))

    def close(
        self,
        fingers: Float[np.ndarray, "12"],
        squeeze_rad: float | Float[np.ndarray, "12"] = 0.25,
        speed_rad_s: float = 1.6,
        longest_s: float = 2.0,
    ) -> Iterator[Any]:
        """Close the fingers until each is stopped by something or has arrived, and keep pressing.

        Args:
            fingers: angles of the empty grasp [rad].
            squeeze_rad: how far a stopped joint's command goes beyond where it is: the servo's push;
                one number for all, or one each.
            speed_rad_s: of the joint with the longest way.
            longest_s: ends then at the latest.
        """
        goal = np.clip(fingers, *self._limits)
        start = self.fingers.copy()
        way = goal - start
        rate = speed_rad_s / max(float(np.abs(way).max()), 1e-9) * self.period_s
        share, still_s, last = np.zeros(len(way)), 0.0, self.simulation.measured[ARM_JOINTS:]
        for _ in range(int(longest_s / self.period_s)):
            measured = self.simulation.measured[ARM_JOINTS:]
            wanted = start + np.minimum(share + rate, 1.0) * way
            ahead = (wanted - measured) * np.sign(way)
            advance = ahead <= squeeze_rad
            share = np.where(advance, np.minimum(share + rate, 1.0), share)
            self.target = np.concatenate([self.arm, start + share * way])
            yield self.target
            moving = np.abs(measured - last).max() > _MOVING_RAD_S * self.period_s
            last = measured
            still_s = 0.0 if moving or (advance & (share < 1.0)).any() else still_s + self.period_s
            if still_s >= _BLOCKED_S:
                break
        return True

    def hold(self, seconds: float) -> Iterator[Any]:
        """Keep the command."""
        for _ in range(max(1, round(seconds / self.period_s))):
            yield self.target
        return True
