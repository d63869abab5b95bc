"""Human finger motion on a robot hand: by the table in closed form, or by fitting finger tips.

Both hands are laid over each other once: a scale and a shift between the flat human hand and the robot's at q = 0, by
least squares over knuckles and tips of the fingers that both have, the thumb left out (the wrist's place on a robot
hand is not known). From then on the human tips, scaled and shifted, are where the robot's tips should be.

Closed form: each joint copies one signed human angle, within its limits. Zero does not mean the same pose on both
hands, least of all at the thumb; a policy does not suffer from that, since it works on numbers that each side's own
statistics have normalised, but raw angles do. Optimising: bounded least squares over tips, with the thumb's distance to
a finger weighed more as a pinch closes (paper section A.5.2), and a small pull to the frame before. Where a person's
fingers are not a robot's, the second is nearer.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import least_squares
from tqdm import tqdm

from robot.hand.motion import HumanMotion
from robot.hand.table import RobotHand
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.hands.skeleton import FINGERS, finger_joints

METHODS: tuple[str, ...] = ("table", "tips", "dex")
_MARGIN = 1e-6  # the solver wants its start strictly inside the limits [rad]


@dataclass(frozen=True)
class RetargetConfig:
    """How tips are fitted.

    Attributes:
        pinch_m: human thumb-to-finger distance at which the pinch has half its weight.
        pinch_width_m: how fast the weight sets in around it.
        pinch_weight: weight of a closed pinch against that of a tip.
        smoothness_m: pull to the frame before: a joint change of one radian weighs as much as this error of a tip.
    """

    pinch_m: float = 0.03
    pinch_width_m: float = 0.005
    pinch_weight: float = 3.0
    smoothness_m: float = 0.005

    def __post_init__(self) -> None:
        if not (self.pinch_m > 0 and self.pinch_width_m > 0 and self.pinch_weight >= 0 and self.smoothness_m > 0):
            raise BadInput("RetargetConfig: lengths must be above 0, the pinch weight 0 or more.")


@dataclass(frozen=True, eq=False)
class Retargeted:
    """Robot angles for a human motion.

    Attributes:
        method: "table", "tips" or "dex".
        q: (time, joint) angles within the limits [rad]; the last valid ones where the human hand is not known.
        is_valid: (time,) True where the human hand is known.
        fingers: the fingers that both hands have.
        tip_error_m: (time, finger) between robot tip and where it should be; NaN where invalid.
        pinch_error_m: (time, finger) of the thumb-to-finger distance against the human's, scaled; NaN where the human
            distance is above 3 cm, and for the thumb itself.
    """

    method: str
    q: Float[np.ndarray, "time joint"]
    is_valid: Bool[np.ndarray, " time"]
    fingers: tuple[str, ...]
    tip_error_m: Float[np.ndarray, "time finger"]
    pinch_error_m: Float[np.ndarray, "time finger"]


@dataclass(frozen=True, eq=False)
class TipTargets:
    """Where a robot's tips should be.

    Attributes:
        tips_base: (time, finger, 3) in the hand's base [m]; NaN where invalid.
        scale: robot size over human size.
        human_pinch_m: (time, finger) human distance of each tip from the thumb's tip [m].
    """

    tips_base: Float[np.ndarray, "time finger 3"]
    scale: float
    human_pinch_m: Float[np.ndarray, "time finger"]


def tip_targets(motion: HumanMotion, hand: RobotHand) -> TipTargets:
    """Lay the human hand over the robot's, and say where the robot's tips should be.

    Raises:
        BadInput: the hands are of different sides.
    """
    if motion.side != hand.side:
        raise BadInput(f"A {motion.side} human hand can't drive a {hand.side} {hand.name}; choose the same side.")
    tips = np.array([finger_joints(finger)[3] for finger in hand.fingers])
    roots = np.array([finger_joints(finger)[0] for finger in hand.fingers])
    straight = np.array([finger != "thumb" for finger in hand.fingers])
    human = np.concatenate([motion.flat_wrist[roots[straight]], motion.flat_wrist[tips[straight]]]) @ hand.R_mount_base
    robot = np.concatenate([hand.knuckles_m[straight], hand.tips(np.zeros(len(hand)))[straight]])
    scale = float(((human - human.mean(0)) * (robot - robot.mean(0))).sum() / ((human - human.mean(0)) ** 2).sum())
    shift = robot.mean(0) - scale * human.mean(0)
    seen = motion.joints_wrist[:, tips]
    thumb = motion.joints_wrist[:, finger_joints("thumb")[3]]
    return TipTargets(
        tips_base=scale * seen @ hand.R_mount_base + shift,
        scale=scale,
        human_pinch_m=np.linalg.norm(seen - thumb[:, None], axis=-1),
    )


def retarget(
    motion: HumanMotion,
    hand: RobotHand,
    method: str = "table",
    config: RetargetConfig | None = None,
    progress: bool = False,
) -> Retargeted:
    """Drive a robot hand with human motion.

    Args:
        motion: of a human hand.
        hand: of the same side.
        method: "table" (closed form), "tips" (least squares on finger tips), or "dex" (the package dex-retargeting).
        config: how tips are fitted.
        progress: show a progress bar.

    Raises:
        UnknownName: no such method.
        BadInput: the hands are of different sides.
        MissingAsset: "dex" without the package.
    """
    targets = tip_targets(motion, hand)
    if method == "table":
        angle = motion.finger_euler[:, hand.human_joint, hand.human_axis] * hand.human_sign
        q = hand.tree.clip(angle)
    elif method == "tips":
        q = _fit_tips(targets, hand, config or RetargetConfig(), motion.is_valid, progress)
    elif method == "dex":
        from robot.hand.dex import dex_retarget

        q = dex_retarget(targets.tips_base, motion.is_valid, hand, progress)
    else:
        raise UnknownName("method of retargeting", method, METHODS)
    q = _held(q, motion.is_valid)
    reached = hand.tips(q)
    error = np.linalg.norm(reached - targets.tips_base, axis=-1)
    thumb = hand.fingers.index(FINGERS[0])
    distance = np.linalg.norm(reached - reached[:, thumb, None], axis=-1)
    pinch = np.abs(distance - targets.scale * targets.human_pinch_m)
    pinch = np.where((targets.human_pinch_m < 0.03) & motion.is_valid[:, None], pinch, np.nan)
    pinch[:, thumb] = np.nan
    return Retargeted(method, q, motion.is_valid, hand.fingers, error, pinch)


def _fit_tips(
    targets: TipTargets, hand: RobotHand, config: RetargetConfig, valid: np.ndarray, progress: bool
) -> np.ndarray:
    thumb = hand.fingers.index(FINGERS[0])
    others = np.array([f for f in range(len(hand.fingers)) if f != thumb])
    closed = 1.0 / (1.0 + np.exp(np.clip((targets.human_pinch_m - config.pinch_m) / config.pinch_width_m, -50, 50)))
    weights = np.sqrt(config.pinch_weight * closed[:, others])
    low, high = hand.tree.lower, hand.tree.upper
    q = np.zeros((len(valid), len(hand)))
    last = np.clip(np.zeros(len(hand)), low + _MARGIN, high - _MARGIN)
    for frame in tqdm(np.flatnonzero(valid), disable=not progress, desc="retarget"):
        wanted, weight = targets.tips_base[frame], weights[frame][:, None]
        apart = wanted[others] - wanted[thumb]
        before = last

        def residual(x: np.ndarray) -> np.ndarray:
            tips = hand.tips(x)
            pinch = weight * (tips[others] - tips[thumb] - apart)  # noqa: B023 - used within this turn only
            return np.concatenate(
                [(tips - wanted).ravel(), pinch.ravel(), config.smoothness_m * (x - before)]  # noqa: B023
            )

        def jacobian(x: np.ndarray) -> np.ndarray:
            J = hand.tip_jacobian(x)
            pinch = weight[..., None] * (J[others] - J[thumb])  # noqa: B023
            smooth = config.smoothness_m * np.eye(len(x))
            return np.concatenate([J.reshape(-1, len(x)), pinch.reshape(-1, len(x)), smooth])

        found = least_squares(residual, last, jacobian, (low, high), max_nfev=30, xtol=1e-5, ftol=1e-6)
        q[frame] = found.x
        last = np.clip(found.x, low + _MARGIN, high - _MARGIN)
    return hand.tree.clip(q)


def _held(q: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Frames without a human hand keep the angles of the last frame with one (of the first one, before it)."""
    if not valid.any():
        return q
    last = np.maximum.accumulate(np.where(valid, np.arange(len(valid)), -1))
    return q[np.where(last < 0, int(np.argmax(valid)), last)]
