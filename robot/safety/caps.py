"""Caps on one joint's motion, joint by joint and over any batch: limits, speed, acceleration, lead over the measured.

A command is admitted only if full braking from it stays within the limits, so braking is always possible: with v the
speed after the step, D the way left before it and a the braking, v dt + v^2 / 2a <= D.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from robot.safety.config import SafetyConfig
from robot.safety.reasons import Reason


@dataclass(frozen=True, eq=False)
class Motion:
    """What was commanded last.

    Attributes:
        position: angles [rad].
        velocity: speeds that the last two commands make [rad/s].
        target: what was last asked for, within the limits [rad].
    """

    position: Float[np.ndarray, "batch joints"]
    velocity: Float[np.ndarray, "batch joints"]
    target: Float[np.ndarray, "batch joints"]


def stoppable_speed(
    distance: Float[np.ndarray, "*shape"], dt: Float[np.ndarray, "*#shape"], a: Float[np.ndarray, "*#shape"]
) -> Float[np.ndarray, "*shape"]:
    """Largest v with v dt + v^2 / 2a <= distance; 0 where the distance is 0 or negative."""
    way = np.maximum(distance, 0.0)
    return np.maximum(a * (np.sqrt(dt * dt + 2.0 * way / a) - dt), 0.0)


def braked(
    config: SafetyConfig, motion: Motion, dt: Float[np.ndarray, "batch 1"]
) -> tuple[Float[np.ndarray, "batch joints"], Float[np.ndarray, "batch joints"]]:
    """Position and velocity after one step of full braking."""
    change = config.acceleration_rad_s2 * dt
    velocity = motion.velocity - np.clip(motion.velocity, -change, change)
    return motion.position + velocity * dt, velocity


def braking_path(
    config: SafetyConfig, position: Float[np.ndarray, "batch joints"], velocity: Float[np.ndarray, "batch joints"]
) -> Float[np.ndarray, "2 batch joints"]:
    """Half-way in time, and the end, of full braking."""
    a = config.acceleration_rad_s2
    end = np.abs(velocity) / a
    middle = np.minimum(0.5 * end.max(axis=-1, keepdims=True), end)
    way = [time * (velocity - 0.5 * np.sign(velocity) * a * time) for time in (middle, end)]
    return position + np.stack(way)


def within_limits(
    config: SafetyConfig, wanted: Float[np.ndarray, "batch joints"]
) -> tuple[Float[np.ndarray, "batch joints"], Int[np.ndarray, " batch"]]:
    """The wanted angles within the joint limits."""
    clipped = np.clip(wanted, config.limits.lower_rad, config.limits.upper_rad)
    return clipped, _where((clipped != wanted).any(-1), Reason.LIMIT)


def speed_range(
    config: SafetyConfig, motion: Motion, dt: Float[np.ndarray, "batch 1"]
) -> tuple[Float[np.ndarray, "batch joints"], Float[np.ndarray, "batch joints"]]:
    """Lowest and highest speed that limits and the speed cap allow."""
    a, cap = config.acceleration_rad_s2, config.speed_rad_s
    room_up = stoppable_speed(config.limits.upper_rad - motion.position, dt, a)
    room_down = stoppable_speed(motion.position - config.limits.lower_rad, dt, a)
    return -np.minimum(cap, room_down), np.minimum(cap, room_up)


def acceleration_range(
    config: SafetyConfig, motion: Motion, dt: Float[np.ndarray, "batch 1"]
) -> tuple[Float[np.ndarray, "batch joints"], Float[np.ndarray, "batch joints"]]:
    """Lowest and highest speed that the acceleration cap allows."""
    change = config.acceleration_rad_s2 * dt
    return motion.velocity - change, motion.velocity + change


def lead_range(
    config: SafetyConfig,
    motion: Motion,
    measured: Float[np.ndarray, "batch joints"],
    dt: Float[np.ndarray, "batch 1"],
) -> tuple[Float[np.ndarray, "batch joints"], Float[np.ndarray, "batch joints"]]:
    """Lowest and highest speed with which the command leads the measured angle by `lead_rad` at most, braking in."""
    a, lead = config.acceleration_rad_s2, motion.position - measured
    return -stoppable_speed(config.lead_rad + lead, dt, a), stoppable_speed(config.lead_rad - lead, dt, a)


def approach(
    config: SafetyConfig,
    motion: Motion,
    measured: Float[np.ndarray, "batch joints"],
    wanted: Float[np.ndarray, "batch joints"],
    dt: Float[np.ndarray, "batch 1"],
) -> tuple[Motion, Int[np.ndarray, " batch"]]:
    """One step towards the wanted angles under all caps.

    A target that jumps is approached so that the robot stops in it; one that moves is followed at its own speed.

    Args:
        config: caps.
        motion: of the last command.
        measured: angles now [rad].
        wanted: asked-for angles [rad]; finite.
        dt: time since the last command, at most a period [s].

    Returns:
        The motion that this step makes, and which caps changed it.
    """
    target, reasons = within_limits(config, wanted)
    step = np.maximum(dt, 1e-9)
    way = target - motion.position
    asked = way / step
    moving = np.clip((target - motion.target) / step, -config.speed_rad_s, config.speed_rad_s)
    catching = stoppable_speed(np.abs(way), dt, config.acceleration_rad_s2) + np.maximum(np.sign(way) * moving, 0.0)
    velocity = np.clip(asked, -catching, catching)
    _, brake = braked(config, motion, dt)
    for reason, (low, high) in (
        (Reason.LEAD, lead_range(config, motion, measured, dt)),
        (Reason.VELOCITY, speed_range(config, motion, dt)),
        (Reason.ACCELERATION, acceleration_range(config, motion, dt)),
    ):
        low, high = np.minimum(low, brake), np.maximum(high, brake)  # braking is always allowed
        capped = np.clip(velocity, low, high)
        reasons = reasons | _where((np.abs(capped - velocity) > 1e-9).any(-1), reason)
        velocity = capped
    position = np.where(velocity == asked, target, motion.position + velocity * dt)
    return Motion(position, velocity, target), reasons


def _where(mask: np.ndarray, reason: Reason) -> np.ndarray:
    return np.where(mask, int(reason), 0)
