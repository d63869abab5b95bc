"""Average adult hand: segment lengths, breadths and where the joints sit, from published anthropometry.

Sources (means of men and women; nothing here is derived from a scanned hand model):

* Segment lengths: A. Buryanov and V. Kotiuk (2010), "Proportions of hand segments", International Journal of
  Morphology 28(3): 755-758 (X-ray lengths of metacarpals and phalanges, and the soft tissue beyond the
  distal phalanx).
* Hand length (wrist crease to middle finger tip), hand breadth and, rounded, forearm length: C. C. Gordon et al.
  (1989), "1988 anthropometric survey of U.S. Army personnel: methods and summary statistics", TR-89/044. The
  distance from the wrist to the base of the third metacarpal is what hand length leaves over; it agrees with the
  carpal height of Y. Youm et al. (1978), "Kinematics of the wrist", Journal of Bone and Joint Surgery 60-A: 423-431.
* Breadths and depths of the digits at the joints and of the wrist: typical values rounded to half a millimetre, not
  table entries; the dimensions are those surveyed by J. W. Garrett (1971), "The adult human hand: some anthropometric
  and biomechanical considerations", Human Factors 13(2): 117-131, and by T. M. Greiner (1991), "Hand anthropometry of
  U.S. Army personnel", TR-92/011.

Angles between the metacarpals and the thumb's resting direction are choices of this project: a flat hand with
slightly spread fingers and the thumb 40 degrees aside.

Template frame (right hand): fingers point to -x, the palm faces -y, the thumb side is +z. The origin is the
palm centre, midway between the wrist and the middle knuckle.
"""

import numpy as np
from jaxtyping import Float

from vitra_lib.hands.skeleton import FINGERS, JOINT21_OF_MANO16, PARENTS, finger_joints

HAND_LENGTH_M = 0.1872
HAND_BREADTH_M = 0.0849

METACARPAL_MM: dict[str, float] = {"thumb": 46.22, "index": 68.12, "middle": 64.60, "ring": 58.00, "pinky": 53.69}
PHALANGES_MM: dict[str, tuple[float, ...]] = {
    "thumb": (31.57, 21.67),
    "index": (39.78, 22.38, 15.82),
    "middle": (44.63, 26.33, 17.40),
    "ring": (41.37, 25.65, 17.30),
    "pinky": (32.74, 18.11, 15.96),
}
SOFT_TIP_MM: dict[str, float] = {"thumb": 5.67, "index": 3.84, "middle": 3.95, "ring": 3.95, "pinky": 3.73}

# Base of each metacarpal seen from the wrist joint: (distal, dorsal, towards the thumb).
_THIRD_BASE_MM = HAND_LENGTH_M * 1e3 - METACARPAL_MM["middle"] - sum(PHALANGES_MM["middle"]) - SOFT_TIP_MM["middle"]
METACARPAL_BASE_MM: dict[str, tuple[float, float, float]] = {
    "thumb": (22.0, -8.0, 21.0),
    "index": (25.5, 0.0, 12.0),
    "middle": (_THIRD_BASE_MM, 0.0, 0.0),
    "ring": (28.0, 0.0, -11.0),
    "pinky": (25.0, -2.0, -20.0),
}
# Direction of metacarpal and finger in degrees: (towards the thumb, dorsal).
METACARPAL_ANGLE_DEG = {"index": (8.5, 0.5), "middle": (0.5, 1.0), "ring": (-8.0, 0.0), "pinky": (-17.0, -3.0)}
FINGER_ANGLE_DEG = {"index": (6.0, 0.0), "middle": (0.0, 0.0), "ring": (-6.5, 0.0), "pinky": (-15.0, 0.0)}
THUMB_DIRECTIONS = ((0.74, -0.27, 0.62), (0.80, -0.22, 0.56), (0.84, -0.22, 0.50))
THUMB_DORSAL = (0.10, 0.62, 0.78)
"""Where the thumb's nail looks, before it is made perpendicular to the thumb: (distal, dorsal, thumb side)."""

HALF_BREADTH_MM: dict[str, tuple[float, float, float, float]] = {
    "thumb": (13.0, 11.5, 10.5, 8.3),
    "index": (11.5, 9.8, 8.5, 6.8),
    "middle": (11.5, 10.0, 8.7, 6.9),
    "ring": (11.0, 9.4, 8.2, 6.5),
    "pinky": (10.0, 8.3, 7.3, 5.8),
}
"""Half breadth of each digit at its four joints, palm to tip (at the tip: the radius of its rounding)."""
DEPTH_PER_BREADTH = 0.88
WRIST_HALF_BREADTH_MM = 29.0
WRIST_HALF_DEPTH_MM = 19.5
FOREARM_LENGTH_M = 0.255

N_BETAS = 10
BETA_MEANINGS: tuple[str, ...] = (
    "overall size, 5.5 % per unit (the spread of hand length over men and women)",
    "finger length 4 %, palm length -1.5 %",
    "palm width 4 %",
    "palm length 3 %",
    "thumb length 4 %",
    "thickness 5 %",
    "index 2.5 % longer and ring 2.5 % shorter",
    "pinky length 4 %",
    "distal phalanges 4 % longer, proximal ones 1.5 % shorter",
    "taper: proximal segments 3 % thicker, distal segments 3 % thinner",
)


def _axes(distal: float, dorsal: float, radial: float) -> Float[np.ndarray, "3"]:
    """(distal, dorsal, thumb side) as a vector of the template frame."""
    return np.array([-distal, dorsal, radial])


def _direction(angles_deg: tuple[float, float]) -> Float[np.ndarray, "3"]:
    aside, up = np.deg2rad(angles_deg)
    return _axes(np.cos(aside) * np.cos(up), np.sin(up), np.sin(aside) * np.cos(up))


def rest_joints() -> Float[np.ndarray, "21 3"]:
    """Joints of the average adult right hand, flat, in the template frame.

    Returns:
        (21, 3) joints [m], origin at the palm centre.
    """
    joints = np.zeros((21, 3))
    for finger in FINGERS:
        ids = finger_joints(finger)
        base = _axes(*METACARPAL_BASE_MM[finger])
        lengths = np.array([*PHALANGES_MM[finger]])
        lengths[-1] += SOFT_TIP_MM[finger]
        if finger == "thumb":
            directions = [_axes(*d) / np.linalg.norm(d) for d in THUMB_DIRECTIONS]
            lengths = np.array([METACARPAL_MM["thumb"], *lengths])
            joints[ids[0]] = base
        else:
            joints[ids[0]] = base + METACARPAL_MM[finger] * _direction(METACARPAL_ANGLE_DEG[finger])
            directions = [_direction(FINGER_ANGLE_DEG[finger])] * 3
        for k in range(3):
            joints[ids[k + 1]] = joints[ids[k]] + lengths[k] * directions[k]
    joints *= 1e-3
    return joints - 0.5 * (joints[0] + joints[9])


def dorsal_axis(finger: str) -> Float[np.ndarray, "3"]:
    """Unit vector that the nail of a finger faces in the rest pose, perpendicular to the finger.

    Args:
        finger: one of `FINGERS`.
    """
    joints = rest_joints()
    ids = finger_joints(finger)
    along = joints[ids[2]] - joints[ids[1]]
    along /= np.linalg.norm(along)
    dorsal = _axes(*THUMB_DORSAL) if finger == "thumb" else np.array([0.0, 1.0, 0.0])
    dorsal = dorsal - along * (dorsal @ along)
    return dorsal / np.linalg.norm(dorsal)


def flexion_axis(finger: str) -> Float[np.ndarray, "3"]:
    """Unit vector about which a positive rotation bends the finger towards the palm, in the rest pose.

    Args:
        finger: one of `FINGERS`.
    """
    joints = rest_joints()
    ids = finger_joints(finger)
    along = joints[ids[2]] - joints[ids[1]]
    axis = np.cross(dorsal_axis(finger), along)
    return axis / np.linalg.norm(axis)


def segment_rates() -> tuple[Float[np.ndarray, "10 16"], Float[np.ndarray, "10 16"], Float[np.ndarray, "10 3"]]:
    """How fast each segment grows along and across itself with each beta.

    Returns:
        along: (10, 16) relative growth per unit of the segment that starts at each MANO joint (column 0 unused).
        across: (10, 16) relative growth of its thickness per unit (column 0 unused).
        palm: (10, 3) relative growth per unit of the palm along x (length), y (thickness), z (width).
    """
    along, across, palm = np.zeros((N_BETAS, 16)), np.zeros((N_BETAS, 16)), np.zeros((N_BETAS, 3))
    index, middle, pinky, ring, thumb = (slice(1 + 3 * i, 4 + 3 * i) for i in range(5))
    proximal, distal = [1, 4, 7, 10, 13], [3, 6, 9, 12, 15]
    along[0, 1:] = across[0, 1:] = palm[0] = 0.055
    along[1, 1:13], palm[1, 0] = 0.04, -0.015
    palm[2, 2] = 0.04
    palm[3, 0] = 0.03
    along[4, thumb] = 0.04
    across[5, 1:], palm[5, 1] = 0.05, 0.05
    along[6, index], along[6, ring] = 0.025, -0.025
    along[7, pinky] = 0.04
    along[8, distal], along[8, [1, 4, 7, 10, 14]] = 0.04, -0.015
    across[9, proximal], across[9, distal] = 0.03, -0.03
    return along, across, palm


def joint_shape_directions() -> Float[np.ndarray, "10 21 3"]:
    """Displacement [m] of each rest joint per unit of each beta; exact, because the shape space is linear.

    Returns:
        (10, 21, 3): `joints(betas) = rest_joints() + einsum("b,bjc->jc", betas, result)`.
    """
    joints = rest_joints()
    along, _, palm = segment_rates()
    mano_of_21 = {j21: j16 for j16, j21 in enumerate(JOINT21_OF_MANO16)}
    moved = np.zeros((N_BETAS, 21, 3))
    # The palm centre (the origin) stays put, so that size does not drift the template.
    moved[:, 0] = palm * joints[0]
    for child in range(1, 21):
        parent = PARENTS[child]
        if parent == 0:
            moved[:, child] = palm * joints[child]
        else:
            offset = joints[child] - joints[parent]
            moved[:, child] = moved[:, parent] + along[:, mano_of_21[parent], None] * offset
    return moved
