"""Inverse kinematics by damped least squares, for a whole batch of targets at once.

Each step solves dq = J# e, J# = J' (J J' + d^2 I)^-1, where e is the pose error with rotations weighed by a length. The
damping d grows as the smallest singular value of J falls (Nakamura and Hanafusa 1986), so that near a singularity the
step stays bounded, and fades with the error (Sugihara 2011), so that the last steps still converge fast. A joint that
a limit stops leaves the Jacobian for that step, and the null space of the task pulls the redundant joint towards a
posture. The returned angles never leave the limits.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from robot.arm.model import Arm
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import log

_INSIDE = 1e-9  # a joint this near its limit counts as stopped by it [rad]


@dataclass(frozen=True)
class IkConfig:
    """How a pose is sought.

    Attributes:
        iterations: most steps.
        position_tolerance_m, rotation_tolerance_rad: errors below which a target counts as reached.
        rad_as_m: length that one radian of rotation error weighs [m].
        damping: largest damping, reached where the Jacobian loses rank.
        singular_below: smallest singular value of the weighed Jacobian under which damping sets in.
        far_m: weighed error from which on damping and posture have their full strength [m].
        step_rad: largest change of a joint in one step.
        posture_gain: share of the way to the posture taken by the null space per step; 0 for none.
    """

    iterations: int = 100
    position_tolerance_m: float = 1e-5
    rotation_tolerance_rad: float = 1e-4
    rad_as_m: float = 0.2
    damping: float = 0.05
    singular_below: float = 0.03
    far_m: float = 0.1
    step_rad: float = 0.3
    posture_gain: float = 0.02

    def __post_init__(self) -> None:
        positive = ("iterations", "position_tolerance_m", "rotation_tolerance_rad", "rad_as_m", "damping",
                    "singular_below", "far_m", "step_rad")  # fmt: skip
        wrong = [name for name in positive if not getattr(self, name) > 0]
        if wrong or not 0 <= self.posture_gain <= 1:
            raise BadInput(f"IkConfig: {', '.join(wrong) or 'posture_gain'} is out of range (above 0; gain up to 1).")


@dataclass(frozen=True, eq=False)
class IkSolution:
    """Joint angles for a batch of targets.

    Attributes:
        q: joint angles within the limits [rad]; the nearest that was found where the target is out of reach.
        position_error_m, rotation_error_rad: what is left.
        is_reached: True where both are within tolerance.
        least_singular_value: of the weighed Jacobian at `q`; small near a singularity.
    """

    q: Float[np.ndarray, "*batch joint"]
    position_error_m: Float[np.ndarray, "*batch"]
    rotation_error_rad: Float[np.ndarray, "*batch"]
    is_reached: Bool[np.ndarray, "*batch"]
    least_singular_value: Float[np.ndarray, "*batch"]


def solve_ik(
    arm: Arm,
    T_base_flange: Float[np.ndarray, "*batch 4 4"],
    start: Float[np.ndarray, "*batch joint"],
    config: IkConfig | None = None,
    posture: Float[np.ndarray, " joint"] | None = None,
) -> IkSolution:
    """Joint angles that bring the flange to each target.

    Args:
        arm: the arm.
        T_base_flange: targets in the arm's base [m].
        start: where the search begins, usually the present angles; clipped to the limits [rad].
        config: how to search.
        posture: angles that the redundant motion tends to; `start` of each target when None.

    Raises:
        BadInput: a target or a start is not finite.
    """
    config = config or IkConfig()
    if not np.isfinite(T_base_flange).all() or not np.isfinite(start).all():
        raise BadInput("A target or a start of the inverse kinematics is NaN or infinite.")
    batch = start.shape[:-1]
    target, q = T_base_flange.reshape(-1, 4, 4), arm.tree.clip(start.reshape(-1, len(arm)))
    rest = q.copy() if posture is None else np.broadcast_to(posture, q.shape)
    best, best_error = q.copy(), np.full(len(q), np.inf)
    active = np.arange(len(q))
    for iteration in range(config.iterations + 1):
        position, rotation = _errors(arm, target[active], q[active])
        weighed = np.concatenate([position, config.rad_as_m * rotation], axis=1)
        size = np.linalg.norm(weighed, axis=1)
        better = size < best_error[active]
        best[active[better]], best_error[active[better]] = q[active[better]], size[better]
        open_ = ~_within(position, rotation, config)
        active, weighed = active[open_], weighed[open_]
        if not len(active) or iteration == config.iterations:
            break
        q[active] = damped_step(arm, q[active], weighed, rest[active], config)
    position, rotation = _errors(arm, target, best)
    J = _weighed_jacobian(arm, best, config)
    return IkSolution(
        q=best.reshape(*batch, len(arm)),
        position_error_m=np.linalg.norm(position, axis=1).reshape(batch),
        rotation_error_rad=np.linalg.norm(rotation, axis=1).reshape(batch),
        is_reached=_within(position, rotation, config).reshape(batch),
        least_singular_value=np.linalg.svd(J, compute_uv=False)[:, -1].reshape(batch),
    )


def damped_step(
    arm: Arm,
    q: Float[np.ndarray, "row joint"],
    error: Float[np.ndarray, "row 6"],
    posture: Float[np.ndarray, "row joint"],
    config: IkConfig,
) -> Float[np.ndarray, "row joint"]:
    """The angles after one damped step for every row; joints at a limit that the step would push out are held.

    Args:
        q: angles within the limits [rad].
        error: what is missing, in base axes: translation [m], then rotation vector x `rad_as_m` [m].
        posture: angles that the redundant motion tends to [rad].
        config: damping and largest step.
    """
    full = _weighed_jacobian(arm, q, config)
    held = np.zeros(q.shape, bool)
    for _ in range(2):
        J = np.where(held[:, None], 0.0, full)
        least = np.linalg.svd(J, compute_uv=False)[:, -1]
        lack = np.clip(1.0 - least / config.singular_below, 0.0, 1.0)
        far = np.minimum(1.0, np.linalg.norm(error, axis=1) / config.far_m)
        JJ = J @ np.swapaxes(J, 1, 2) + ((config.damping * lack) ** 2 * far + 1e-10)[:, None, None] * np.eye(6)
        pull = np.where(held, 0.0, config.posture_gain * far[:, None] * (posture - q))
        # J# (e - J p) + p is J# e plus the part of p that the task doesn't feel.
        wanted = error - np.einsum("nij,nj->ni", J, pull)
        step = np.einsum("nji,nj->ni", J, np.linalg.solve(JJ, wanted[..., None])[..., 0]) + pull
        held |= ((q <= arm.tree.lower + _INSIDE) & (step < 0)) | ((q >= arm.tree.upper - _INSIDE) & (step > 0))
    step = np.where(held, 0.0, step)
    largest = np.abs(step).max(axis=1, keepdims=True)
    return arm.tree.clip(q + step * np.minimum(1.0, config.step_rad / np.maximum(largest, 1e-300)))


def _weighed_jacobian(arm: Arm, q: np.ndarray, config: IkConfig) -> np.ndarray:
    return arm.jacobian(q) * np.array([1.0] * 3 + [config.rad_as_m] * 3)[:, None]


def _errors(arm: Arm, target: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Missing translation [m] and rotation vector [rad], both in base axes."""
    T = arm.forward(q)
    return target[:, :3, 3] - T[:, :3, 3], log(target[:, :3, :3] @ np.swapaxes(T[:, :3, :3], 1, 2))


def _within(position: np.ndarray, rotation: np.ndarray, config: IkConfig) -> np.ndarray:
    near = np.linalg.norm(position, axis=1) <= config.position_tolerance_m
    return near & (np.linalg.norm(rotation, axis=1) <= config.rotation_tolerance_rad)
