"""The control of the lifter: the tracker's own 3-D guess, set to the size of an average hand and put where it projects.

It is what one would do first. Notebook 01 and the lifter's record show what it costs on egocentric views.
"""

import numpy as np
from jaxtyping import Float

from vitra_lib.hands.anthropometry import rest_joints
from vitra_lib.hands.mirror import mirror_points
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.lifter import LiftedHand, rays_of
from vitra_lib.reconstruction.lifter_data import LifterSamples
from vitra_lib.reconstruction.lifter_scores import naive_lift


def lift_naively(detections: HandDetections, K_px: Float[np.ndarray, "3 3"]) -> LiftedHand:
    """Metric joints from the tracker's guess alone; the counterpart of `Lifter.lift`.

    Args:
        detections: from the tracker.
        K_px: pinhole intrinsics in the pixels of the detections.

    Returns:
        Joints in the camera of each frame [m]; invalid where the hand was not detected. The error is not predicted:
        `sigma_m` and `error_m` are infinite everywhere.
    """
    used = np.flatnonzero(detections.is_detected)
    joints = np.full((len(detections), 21, 3), np.nan)
    if len(used):
        rays, guess = rays_of(detections.keypoints_px[used], K_px), detections.world_landmarks_m[used]
        is_right = detections.side == "right"
        samples = LifterSamples(
            rays_cam=rays if is_right else mirror_points(rays),
            world_landmarks_m=guess if is_right else mirror_points(guess),
            score=detections.score[used],
            joints_cam=np.full((len(used), 21, 3), np.nan),
            clip=np.zeros(len(used), np.int64),
            is_right=np.full(len(used), is_right),
            time_s=np.full(len(used), np.nan),
        )
        placed = naive_lift(samples, rest_joints()[None])
        joints[used] = placed if is_right else mirror_points(placed)
    is_valid = np.isfinite(joints).all((1, 2)) & (joints[:, 0, 2] > 0)
    unknown = np.full(len(detections), np.inf)
    return LiftedHand(detections.side, joints, unknown, unknown.copy(), is_valid)
