"""Does a hand obey the mirror rule? Told from its joints and rotations alone, without a hand model (spec, 1.4).

In the wrist's frame, with x mirrored for a left hand, a bone is the product of the finger rotations before it with the
same bone of the flat hand. So rotating the bones back must give one flat hand for all frames, whose fingers point along
-x. Rotations or joints in another convention (fingers mirrored, template not mirrored, other joint order) fail both.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitra_lib.contracts.hand_track import Side
from vitra_lib.hands.mirror import mirror_points
from vitra_lib.hands.skeleton import FINGERS, MANO_FINGERS, finger_joints

_LONG_FINGERS = tuple(finger for finger in FINGERS if finger != "thumb")


@dataclass(frozen=True)
class RestFit:
    """How well one flat hand explains all frames.

    Attributes:
        residual_m: (time,) mean distance of the joints from where flat hand and rotations put them [m].
        pointing: mean cosine between the flat fingers and -x; near 1 for a hand in the right convention.
    """

    residual_m: Float[np.ndarray, " time"]
    pointing: float


def fit_rest_hand(
    side: Side,
    R_a_wrist: Float[np.ndarray, "time 3 3"],
    t_a_wrist: Float[np.ndarray, "time 3"],
    R_parent_joint: Float[np.ndarray, "time 15 3 3"],
    joints_a: Float[np.ndarray, "time 21 3"],
) -> RestFit:
    """Find the flat hand that explains the joints best, and say how well it does.

    Args:
        side: which hand; the left one is mirrored.
        R_a_wrist, t_a_wrist: wrist poses in any frame a, which may move [m].
        R_parent_joint: finger rotations, right-hand convention, MANO order.
        joints_a: joints in the same frame [m].
    """
    template = np.einsum("tji,tkj->tki", R_a_wrist, joints_a - t_a_wrist[:, None])
    if side == "left":
        template = mirror_points(template)
    errors, cosines = [], []
    for finger in FINGERS:
        joints = finger_joints(finger)
        knuckle = template[:, joints[0]]
        errors.append(np.linalg.norm(knuckle - np.median(knuckle, axis=0), axis=-1))
        start = 3 * MANO_FINGERS.index(finger)
        turned = np.broadcast_to(np.eye(3), (len(template), 3, 3))
        for number in range(3):
            turned = turned @ R_parent_joint[:, start + number]
            bone = template[:, joints[number + 1]] - template[:, joints[number]]
            flat = np.median(np.einsum("tji,tj->ti", turned, bone), axis=0)
            errors.append(np.linalg.norm(turned @ flat - bone, axis=-1))
            if finger in _LONG_FINGERS:
                cosines.append(-flat[0] / max(float(np.linalg.norm(flat)), 1e-9))
    return RestFit(np.mean(errors, axis=0), float(np.mean(cosines)))
