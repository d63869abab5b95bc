"""Robots under attack: many at once, each tick with a hostile wish, and a judge that shares no code with the caps."""

from dataclasses import dataclass, field

import numpy as np

from robot.safety import decide as layer
from robot.safety.bodies import rig_bodies
from robot.safety.config import SafetyConfig
from robot.safety.decide import Decision, Measured, Memory, Proposal
from robot.safety.geometry import clearances
from robot.safety.limits import JOINTS

GOOD, RANDOM, HUGE, NAN, INF, FLIPPED, LENGTH, SWAPPED, OLD, FUTURE, REPLAYED, STALE, BLIND, DEAD, SILENT = range(15)
SHARES = np.array([4, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1], float)
MUST_BE_REFUSED = (NAN, INF, LENGTH, SWAPPED, OLD, FUTURE, REPLAYED, STALE, BLIND, DEAD, SILENT)


def legal_poses(config: SafetyConfig, rng: np.random.Generator, count: int) -> np.ndarray:
    """Poses within the limits and away from everything."""
    found = np.zeros((0, JOINTS))
    while len(found) < count:
        q = rng.uniform(config.limits.lower_rad, config.limits.upper_rad, (count, JOINTS))
        c = clearances(rig_bodies(config.side, config.variant), config.scene, q)
        found = np.concatenate([found, q[(c.box_m > 0.02) & (c.table_m > 0.03) & (c.self_m > 0.04)]])
    return found[:count]


@dataclass
class Siege:
    """Robots that are attacked for some ticks.

    Attributes:
        config: of the layer.
        robots: how many.
        seed: of the attacks.
        violations: what the judge found, by name.
        actions, sent, used, refused_uses: counts.
    """

    config: SafetyConfig
    robots: int
    seed: int
    violations: dict[str, int] = field(default_factory=dict)
    actions: int = 0
    sent: int = 0
    used: int = 0
    stops: int = 0
    reasons: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def run(self, ticks: int) -> "Siege":
        """Attack."""
        rng = np.random.default_rng(self.seed)
        poses = legal_poses(self.config, rng, 4 * self.robots)
        real, speed = poses[: self.robots].copy(), np.zeros((self.robots, JOINTS))
        memory, before = Memory.at_rest(real, 0.0), np.zeros((self.robots, JOINTS))
        goal, now, seen = poses[self.robots : 2 * self.robots].copy(), 0.0, []
        steady = rng.random(self.robots) < 0.3  # these are mostly told to go to one bad place, and get there
        for tick in range(1, ticks + 1):
            dt = float(rng.choice([0.004, 0.01, 0.01, 0.01, 0.013]))
            now += dt
            kind = rng.choice(len(SHARES), self.robots, p=SHARES / SHARES.sum())
            kind = np.where(steady & (rng.random(self.robots) < 0.99), GOOD, kind)
            fresh_goal = rng.random(self.robots) < 0.005
            goal[fresh_goal] = rng.uniform(-3.3, 3.3, (int(fresh_goal.sum()), JOINTS))
            proposal = self._attack(rng, kind, goal, real, memory.sequence, tick, now)
            measured = self._measure(rng, kind, real, speed, now)
            decision = layer.decide(self.config, memory, measured, proposal, now)
            self._judge(memory, measured, kind, before, decision, min(dt, self.config.period_s))
            before = np.where(decision.is_sent[:, None], decision.position - memory.motion.position, 0.0)
            before /= min(dt, self.config.period_s)
            moved = np.where(decision.is_sent[:, None], real + 0.4 * (decision.position - real), real)
            speed, real = (moved - real) / dt, moved
            seen.append(decision.reasons)
            memory, real = self._rearm(rng, decision.memory, real, poses, now)
            before[~decision.is_sent] = 0.0
        self.reasons = np.concatenate(seen)
        return self

    def _attack(self, rng, kind, goal, real, used, tick, now) -> Proposal:
        """A wish for every robot."""
        n = self.robots
        position = goal.copy()
        random = kind == RANDOM
        position[random] = rng.uniform(-7, 7, (int(random.sum()), JOINTS))
        huge = kind == HUGE
        position[huge] = rng.choice([-1, 1], (int(huge.sum()), JOINTS)) * 10.0 ** rng.integers(1, 300)
        flipped = kind == FLIPPED
        position[flipped] = -real[flipped]
        joint = rng.integers(0, JOINTS, n)
        for code, values in ((NAN, [np.nan]), (INF, [np.inf, -np.inf])):
            rows = np.flatnonzero(kind == code)
            position[rows, joint[rows]] = rng.choice(values, len(rows))
        length = np.where(kind == LENGTH, rng.choice([0, 12, 18, 20, 38], n), JOINTS)
        side = np.where(kind == SWAPPED, 0, 1)
        sequence = np.where(kind == REPLAYED, np.maximum(0, used - rng.integers(0, 20, n)), tick)
        sequence = np.where(kind == SILENT, -1, sequence)
        observed = np.where(kind == OLD, now - 1.5, np.where(kind == FUTURE, now + 1.0, now - 0.05))
        observed = np.where((kind == OLD) & (joint == 0), np.nan, observed)
        return Proposal(position, length, side, sequence, observed)

    def _measure(self, rng, kind, real, speed, now) -> Measured:
        """What the robots report, with noise, dead sensors, stale readings and a few pushes."""
        n = self.robots
        position = real + rng.normal(0, 2e-4, real.shape)
        pushed = rng.random(n) < 5e-4
        position[pushed] += rng.choice([-2.0, 2.0], (int(pushed.sum()), JOINTS))
        position[kind == DEAD, 3] = np.nan
        at = np.where(kind == STALE, now - 0.2, now - 0.002)
        runaway = rng.random(n) < 5e-4
        speed = np.where(runaway[:, None], 30.0, speed)
        return Measured(position, speed, at, np.where(kind == BLIND, now - 2.0, now - 0.03))

    def _judge(self, memory, measured, kind, before, decision: Decision, dt) -> None:
        """Count what must never be."""
        config, sent = self.config, decision.is_sent
        q, last = decision.position[sent], memory.motion.position[sent]
        v = (q - last) / dt
        moved = (q != last).any(1)
        c = clearances(rig_bodies(config.side, config.variant), config.scene, q[moved])
        good = np.isfinite(measured.position).all(1) & (kind != STALE)
        far = np.abs(q - measured.position[sent]) > config.tracking_rad
        wrong = {
            "not finite": ~np.isfinite(q),
            "limit": (q < config.limits.lower_rad - 1e-9) | (q > config.limits.upper_rad + 1e-9),
            "speed": np.abs(v) > config.speed_rad_s + 1e-6,
            "acceleration": np.abs(v - before[sent]) > config.acceleration_rad_s2 * dt + 1e-6,
            "lead": far & good[sent][:, None],
            "box": c.box_m < config.box_margin_m,
            "table": c.table_m < config.table_margin_m,
            "self": c.self_m < config.self_margin_m,
            "sent when stopped": memory.is_stopped[sent],
        }
        for number, name in zip(MUST_BE_REFUSED, ("nan", "inf", "length", "swapped", "old", "future", "replayed",
                                                  "stale state", "blind", "dead", "silent"), strict=True):  # fmt: skip
            was_new = memory.sequence < 0 if number == REPLAYED else np.zeros(len(kind), bool)
            wrong[f"used: {name}"] = decision.is_used & (kind == number) & ~was_new
        for name, mask in wrong.items():
            if mask.any():
                self.violations[name] = self.violations.get(name, 0) + int(mask.sum())
        self.actions += len(kind)
        self.sent += int(sent.sum())
        self.used += int(decision.is_used.sum())

    def _rearm(self, rng, memory: Memory, real, poses, now) -> tuple[Memory, np.ndarray]:
        """Stopped robots begin again elsewhere, as if put there by hand."""
        rows = np.flatnonzero(memory.is_stopped)
        self.stops += len(rows)
        if not len(rows):
            return memory, real
        real = real.copy()
        real[rows] = poses[rng.integers(0, len(poses), len(rows))]
        fresh = Memory.at_rest(real, now)
        for mine, new in ((memory.motion, fresh.motion),):
            for name in ("position", "velocity", "target"):
                getattr(mine, name)[rows] = getattr(new, name)[rows]
        for name in ("at_s", "used_at_s", "is_stopped"):
            getattr(memory, name)[rows] = getattr(fresh, name)[rows]
        return memory, real
