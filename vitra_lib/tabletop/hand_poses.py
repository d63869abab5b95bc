"""How hands look from a head: random wrist poses of an arm that hangs on a shoulder beside and below the camera.

The lifter learns its prior of egocentric views here, so poses come from anatomy and nowhere else: the wrist is
anywhere in the image within reach, the elbow follows from two links with a random swivel, the forearm turns between
palm down and palm up, and the wrist bends within its limits. A share of poses is turned at random.
Everything is planned for a right arm; left arms are mirrored.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.geometry.rotations import exp, log
from vitra_lib.tabletop.arm import FOREARM_M, UPPER_ARM_M

_MIDDLE_M = 0.085


@dataclass(frozen=True)
class HeadCamera:
    """A camera worn on a head (or chest) and where the right shoulder is.

    Attributes:
        focal: focal length in units of the image's half width.
        aspect: height / width of the image.
        R_cam_level: (3, 3) maps the level frame (x right, y down with gravity, z ahead) to the camera.
        t_cam_shoulder: (3,) right shoulder in the camera [m].
    """

    focal: float
    aspect: float
    R_cam_level: Float[np.ndarray, "3 3"]
    t_cam_shoulder: Float[np.ndarray, "3"]

    @classmethod
    def sample(cls, rng: np.random.Generator, aspect: float) -> "HeadCamera":
        """A random wearer: pitched 5 to 65 degrees down, field of view 50 to 110 degrees."""
        fov = np.deg2rad(rng.uniform(50.0, 110.0))
        pitch, roll = np.deg2rad(rng.uniform(5.0, 65.0)), np.deg2rad(rng.normal(0.0, 6.0))
        R = exp(np.array([0.0, 0.0, roll])) @ exp(np.array([pitch, 0.0, 0.0]))
        shoulder = np.array([rng.normal(0.18, 0.03), rng.normal(0.22, 0.06), rng.normal(-0.06, 0.05)])
        # the body turns against the head
        shoulder = exp(np.array([0.0, np.deg2rad(rng.normal(0.0, 15.0)), 0.0])) @ shoulder
        return cls(float(1.0 / np.tan(fov / 2)), aspect, R, R @ shoulder)


@dataclass(frozen=True)
class ArmPose:
    """A right arm in the camera.

    Attributes:
        R_cam_wrist: (3, 3) wrist frame (fingers -x, palm -y, thumb +z).
        t_cam_wrist: (3,) wrist joint [m].
        R_wrist_forearm: (3, 3) rotation of the forearm against the straight arm.
    """

    R_cam_wrist: Float[np.ndarray, "3 3"]
    t_cam_wrist: Float[np.ndarray, "3"]
    R_wrist_forearm: Float[np.ndarray, "3 3"]


@dataclass(frozen=True)
class ArmPlan:
    """The random numbers behind one arm pose; near plans give near poses.

    Attributes:
        t_cam_wrist: (3,) wrist [m].
        swivel: of the elbow about the line shoulder-wrist, 0 = down and out [rad].
        pronation: 0 = thumb up, pi/2 = palm down [rad].
        flexion: of the wrist, towards the palm [rad].
        deviation: of the wrist, towards the thumb [rad].
        turn: (3,) extra rotation vector in the camera, zero for anatomical poses [rad].
    """

    t_cam_wrist: Float[np.ndarray, "3"]
    swivel: float
    pronation: float
    flexion: float
    deviation: float
    turn: Float[np.ndarray, "3"]


def sample_plan(camera: HeadCamera, rng: np.random.Generator, pronation: float | None = None) -> ArmPlan:
    """A wrist within reach whose hand is in the image, at least by half, and everything else about the arm.

    Args:
        camera: the wearer.
        rng: source of randomness.
        pronation: how the forearm is turned [rad], where that is settled (a mug is held upright); None = any way.
    """
    plan = _random_plan(camera, rng, pronation)
    for _ in range(300):
        in_reach = 0.15 < np.linalg.norm(plan.t_cam_wrist - camera.t_cam_shoulder) < 1.08 * (UPPER_ARM_M + FOREARM_M)
        if in_reach and is_in_view(camera, arm_pose(camera, plan)):
            break
        plan = _random_plan(camera, rng, pronation)
    return plan


def is_in_view(camera: HeadCamera, pose: ArmPose) -> bool:
    """Whether the middle of the hand is inside the image (or just outside)."""
    middle = pose.t_cam_wrist - _MIDDLE_M * pose.R_cam_wrist[:, 0]
    if min(middle[2], pose.t_cam_wrist[2]) < 0.1:
        return False
    u, v = np.abs(middle[:2] / middle[2] * camera.focal)
    return bool(u < 1.03 and v < 1.03 * camera.aspect)


def _random_plan(camera: HeadCamera, rng: np.random.Generator, pronation: float | None) -> ArmPlan:
    u, v = rng.uniform(-1.1, 1.1), rng.uniform(-1.0, 1.2) * camera.aspect
    distance = rng.uniform(0.22, 0.72)  # flat: the lifter must not learn a favourite distance
    ray = np.array([u / camera.focal, v / camera.focal, 1.0])
    anyhow = float(np.deg2rad(rng.normal(50.0, 45.0) if rng.uniform() < 0.85 else rng.uniform(-90.0, 130.0)))
    turn = np.zeros(3)
    if pronation is None and rng.uniform() < 0.12:
        axis = rng.normal(size=3)
        turn = axis / np.linalg.norm(axis) * rng.uniform(0.0, np.pi)
    return ArmPlan(
        t_cam_wrist=ray / np.linalg.norm(ray) * distance,
        swivel=float(rng.normal(0.0, 0.6)),
        pronation=anyhow if pronation is None else pronation,
        flexion=float(np.deg2rad(np.clip(rng.normal(-8.0, 25.0), -60.0, 65.0))),
        deviation=float(np.deg2rad(np.clip(rng.normal(-3.0, 12.0), -35.0, 25.0))),
        turn=turn,
    )


def near_plan(plan: ArmPlan, rng: np.random.Generator) -> ArmPlan:
    """Where the same arm could be a few tenths of a second later."""
    distance = np.linalg.norm(plan.t_cam_wrist)
    moved = plan.t_cam_wrist + rng.normal(0.0, 0.12 * distance, 3)
    moved[2] = max(moved[2], 0.15)
    return ArmPlan(
        t_cam_wrist=moved,
        swivel=plan.swivel + float(rng.normal(0.0, 0.2)),
        pronation=plan.pronation + float(np.deg2rad(rng.normal(0.0, 28.0))),
        flexion=float(np.clip(plan.flexion + np.deg2rad(rng.normal(0.0, 20.0)), -1.05, 1.15)),
        deviation=float(np.clip(plan.deviation + np.deg2rad(rng.normal(0.0, 10.0)), -0.6, 0.45)),
        turn=plan.turn,
    )


def arm_pose(camera: HeadCamera, plan: ArmPlan) -> ArmPose:
    """Two-link arm and hand frame of a plan."""
    to_wrist = plan.t_cam_wrist - camera.t_cam_shoulder
    distance = float(np.linalg.norm(to_wrist))
    along = to_wrist / distance
    d = float(np.clip(distance, 0.12, 0.985 * (UPPER_ARM_M + FOREARM_M)))
    a = (UPPER_ARM_M**2 - FOREARM_M**2 + d * d) / (2 * d)
    height = np.sqrt(max(UPPER_ARM_M**2 - a * a, 0.0))
    pole = camera.R_cam_level @ np.array([0.55, 0.85, -0.25])
    pole = pole - along * (along @ pole)
    pole = exp(along * plan.swivel) @ (pole / np.linalg.norm(pole))
    # an arm that is pulled beyond its reach takes the shoulder along
    elbow = plan.t_cam_wrist - along * (d - a) + height * pole
    forearm = (plan.t_cam_wrist - elbow) / np.linalg.norm(plan.t_cam_wrist - elbow)
    up = camera.R_cam_level @ np.array([0.0, -1.0, 0.0])
    thumb = up - forearm * (forearm @ up)
    if np.linalg.norm(thumb) < 1e-3:
        thumb = np.cross(forearm, np.array([1.0, 0.0, 0.0]))
    thumb = thumb / np.linalg.norm(thumb)
    R_straight = np.stack([-forearm, np.cross(thumb, -forearm), thumb], axis=1)
    R_forearm = exp(-forearm * plan.pronation) @ R_straight
    # flexion turns fingers (-x) towards the palm (-y): about +z; deviation towards the thumb (+z): about +y
    bend = exp(np.array([0.0, 0.0, plan.flexion])) @ exp(np.array([0.0, plan.deviation, 0.0]))
    return ArmPose(exp(plan.turn) @ R_forearm @ bend, plan.t_cam_wrist, bend.T)


def between(a: ArmPose, b: ArmPose, share: float) -> ArmPose:
    """The pose `share` of the way from a to b."""

    def blend(R_a: np.ndarray, R_b: np.ndarray) -> np.ndarray:
        return R_a @ exp(share * log(R_a.T @ R_b))

    return ArmPose(
        blend(a.R_cam_wrist, b.R_cam_wrist),
        a.t_cam_wrist + share * (b.t_cam_wrist - a.t_cam_wrist),
        blend(a.R_wrist_forearm, b.R_wrist_forearm),
    )
