"""The stand-in hand's skin: one watertight smooth surface around the anthropometric skeleton.

Every bone is a tapered capsule with an elliptic cross-section, the palm adds the muscles of thumb and little
finger and the web between thumb and index; a polynomial smooth union (C. Wyvill et al. 1986, "Data structure for
soft objects"; I. Quilez's quadratic form) blends them into a signed distance, whose zero level marching cubes
turns into a mesh once. Vertices are then relaxed on the surface. All of it is deterministic.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from skimage.measure import marching_cubes

from vitra_lib.hands import anthropometry as body
from vitra_lib.hands.skeleton import FINGERS, MANO_PARENTS, finger_joints

Distance = Callable[[np.ndarray], np.ndarray]
FOREARM_BONE = 16
N_BONES = 17
_STUB_M = 0.032


@dataclass(frozen=True)
class RestMesh:
    """The skin in the rest pose.

    Attributes:
        vertices: (vert, 3) in the template frame [m].
        faces: (faces, 3) outward-oriented triangles.
        normals: (vert, 3) unit outward normals.
        weights: (vert, 17) skin weights over MANO's 16 joints and the forearm; rows sum to 1.
    """

    vertices: Float[np.ndarray, "vert 3"]
    faces: Int[np.ndarray, "faces 3"]
    normals: Float[np.ndarray, "vert 3"]
    weights: Float[np.ndarray, "vert 17"]


def _smooth_min(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    h = np.maximum(width - np.abs(a - b), 0.0) / width
    return np.minimum(a, b) - 0.25 * width * h * h


def _capsule(
    points: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    radii: tuple[float, float],
    dorsal=(0.0, 1.0, 0.0),
    depth=1.0,
) -> np.ndarray:
    """Distance to a tapered capsule whose extent along `dorsal` is scaled by `depth`."""
    axis = stop - start
    length2 = float(axis @ axis)
    relative = points - start
    t = np.clip(relative @ axis / length2, 0.0, 1.0)
    off = relative - t[:, None] * axis
    if depth != 1.0:
        off = off + (1.0 / depth - 1.0) * (off @ np.asarray(dorsal))[:, None] * np.asarray(dorsal)
    return np.linalg.norm(off, axis=1) - (radii[0] + (radii[1] - radii[0]) * t)


def _ellipsoid(
    points: np.ndarray, centre: np.ndarray, along: np.ndarray, radii: tuple[float, float, float]
) -> np.ndarray:
    """Approximate distance to an ellipsoid with its first radius along `along` and its second along y."""
    x = along / np.linalg.norm(along)
    y = np.array([0.0, 1.0, 0.0]) - x * x[1]
    y /= np.linalg.norm(y)
    local = (points - centre) @ np.stack([x, y, np.cross(x, y)], axis=1)
    r = np.array(radii)
    k0 = np.linalg.norm(local / r, axis=1)
    k1 = np.linalg.norm(local / r**2, axis=1)
    return k0 * (k0 - 1.0) / np.maximum(k1, 1e-9)


def _finger(points: np.ndarray, finger: str, joints: np.ndarray) -> np.ndarray:
    ids = finger_joints(finger)
    radius = np.array(body.HALF_BREADTH_MM[finger]) * 1e-3
    dorsal = body.dorsal_axis(finger)
    p = [joints[i] for i in ids]
    last = (p[3] - p[2]) / np.linalg.norm(p[3] - p[2])
    ends = [p[0], p[1], p[2], p[3] - last * radius[3]]
    first = 1 if finger == "thumb" else 0
    result = None
    for k in range(3):
        depth = 0.97 if (finger == "thumb" and k == 0) else body.DEPTH_PER_BREADTH
        # The pulp sits on the palm side of the bone, and a phalanx is slimmer between its joints.
        sink = -0.0012 * dorsal if k >= first else -0.002 * dorsal
        middle = 0.5 * (ends[k] + ends[k + 1]) + sink
        waist = 0.94 * 0.5 * (radius[k] + radius[k + 1])
        for a, b, r in ((ends[k], middle, (radius[k], waist)), (middle, ends[k + 1], (waist, radius[k + 1]))):
            d = _capsule(points, a, b, r, dorsal, depth)
            result = d if result is None else _smooth_min(result, d, 0.003)
    pad = ends[3] - 0.3 * (ends[3] - ends[2]) - 0.0022 * dorsal
    return _smooth_min(
        result, _capsule(points, pad, ends[3] - 0.0012 * dorsal, (0.86 * radius[3], 0.86 * radius[3])), 0.003
    )


def _palm(points: np.ndarray, joints: np.ndarray, forearm_m: float) -> np.ndarray:
    wrist = joints[0]
    base = {f: wrist + 1e-3 * np.array([-d, u, r]) for f, (d, u, r) in body.METACARPAL_BASE_MM.items()}
    result = None
    previous = None
    for finger in ("index", "middle", "ring", "pinky"):
        head = joints[finger_joints(finger)[0]]
        r = body.HALF_BREADTH_MM[finger][0] * 1e-3
        bone = _capsule(points, base[finger] + [0, -0.003, 0], head + [0, -0.002, 0], (0.0135, 1.03 * r))
        result = bone if result is None else _smooth_min(result, bone, 0.006)
        if previous is not None:
            between = 0.5 * (previous + np.stack([base[finger], head]))
            fill = _capsule(points, between[0] + [0, -0.004, 0], between[1] + [0.004, -0.004, 0], (0.0125, 0.0095))
            result = _smooth_min(result, fill, 0.006)
        previous = np.stack([base[finger], head])
    for a, b in ((5, 9), (9, 13), (13, 17)):
        # Skin fills the crotch between neighbouring fingers up to two fifths of their first phalanx.
        ends = [joints[k] + 0.40 * (joints[k + 1] - joints[k]) for k in (a, b)]
        result = _smooth_min(result, _capsule(points, *ends, (0.0062, 0.0062)), 0.005)
    cmc, mcp = joints[1], joints[2]
    thenar = _ellipsoid(points, cmc + 0.42 * (mcp - cmc) + [0.0, -0.0045, -0.007], mcp - cmc, (0.034, 0.015, 0.0165))
    five = joints[17] - base["pinky"]
    hypothenar = _ellipsoid(
        points, base["pinky"] + 0.30 * five + [0.002, -0.008, -0.001], five, (0.036, 0.0135, 0.0130)
    )
    result = _smooth_min(_smooth_min(result, thenar, 0.009), hypothenar, 0.009)
    web_start, web_stop = cmc + 0.62 * (mcp - cmc), base["index"] + 0.60 * (joints[5] - base["index"])
    for s in (0.3, 0.6):
        inner = cmc + s * (mcp - cmc)
        outer = base["index"] + (0.25 + 0.5 * s) * (joints[5] - base["index"])
        result = _smooth_min(result, _capsule(points, inner, outer + [0, -0.004, 0], (0.0105, 0.0100)), 0.010)
    result = _smooth_min(result, _capsule(points, web_start, web_stop + [0, -0.004, 0], (0.0085, 0.0090)), 0.012)
    return _smooth_min(result, _forearm(points, wrist, forearm_m), 0.014)


def _forearm(points: np.ndarray, wrist: np.ndarray, length_m: float) -> np.ndarray:
    """Wrist and forearm: an elliptic tube along +x, ending flat; it thickens towards the elbow."""
    depth = body.WRIST_HALF_DEPTH_MM / body.WRIST_HALF_BREADTH_MM
    r0 = body.WRIST_HALF_BREADTH_MM * 1e-3
    start = wrist + np.array([-0.006, -0.003, 0.0])
    tube = None
    for a, b in ((0.0, 0.035), (0.035, 0.30)):
        grow = lambda x: r0 * (0.955 if x == 0.0 else 0.985 if x == 0.035 else 1.5)  # noqa: E731
        d = _capsule(points, start + [a, 0, 0], start + [b, 0, 0], (grow(a), grow(b)), (0.0, 1.0, 0.0), depth)
        tube = d if tube is None else _smooth_min(tube, d, 0.01)
    return np.maximum(tube, points[:, 0] - (wrist[0] + length_m))


def signed_distance(forearm_m: float) -> Distance:
    """Signed distance [m] (negative inside) to the rest skin, as a function of (n, 3) template points.

    Args:
        forearm_m: how far the arm reaches beyond the wrist joint [m].
    """
    joints = body.rest_joints()

    def distance(points: np.ndarray) -> np.ndarray:
        palm = _palm(points, joints, forearm_m)
        result = None
        for finger in FINGERS:
            d = _smooth_min(palm, _finger(points, finger, joints), 0.011 if finger == "thumb" else 0.006)
            result = d if result is None else _smooth_min(result, d, 0.0025)
        return result

    return distance


def _gradient(distance: Distance, points: np.ndarray) -> np.ndarray:
    h = 2e-4
    return np.stack([(distance(points + h * e) - distance(points - h * e)) / (2 * h) for e in np.eye(3)], axis=1)


def _adjacency(faces: np.ndarray, n: int) -> sparse.csr_matrix:
    """Row-normalised neighbour averaging."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    A = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n)).tocsr()
    A = ((A + A.T) > 0).astype(float)
    return sparse.diags(1.0 / np.asarray(A.sum(axis=1)).ravel()) @ A


def _extract(distance: Distance, forearm_m: float, cell_m: float) -> tuple[np.ndarray, np.ndarray]:
    """Marching cubes on a grid that is coarse along the forearm, where nothing is small."""
    joints = body.rest_joints()
    low = joints.min(axis=0) - 0.022
    high = joints.max(axis=0) + 0.022
    low[1], high[1] = low[1] - 0.004, max(high[1], 0.030)
    low[2], high[2] = low[2] - 0.006, high[2]
    fine_stop = joints[0, 0] + 0.02
    x = [*np.arange(low[0], fine_stop, cell_m)]
    while x[-1] < joints[0, 0] + forearm_m + 2 * cell_m:
        x.append(x[-1] + min(0.012, cell_m * (1.0 + max(0.0, (x[-1] - fine_stop) / 0.03))))
    if forearm_m > 0.1:
        low[1], high[1] = -0.045, 0.042
        low[2] = min(low[2], -0.065)
    axes = [np.array(x), np.arange(low[1], high[1], cell_m), np.arange(low[2], high[2], cell_m)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    values = distance(grid).reshape([len(a) for a in axes])
    index, faces, _, _ = marching_cubes(values, 0.0)
    vertices = np.stack([np.interp(index[:, i], np.arange(len(axes[i])), axes[i]) for i in range(3)], axis=1)
    return vertices, np.ascontiguousarray(faces.astype(np.int64))


def _relax(distance: Distance, vertices: np.ndarray, faces: np.ndarray, arm_end: float) -> np.ndarray:
    """Even out the triangles: slide vertices towards their neighbours' mean, then back onto the surface."""
    average = _adjacency(faces, len(vertices))
    free = vertices[:, 0] < arm_end - 0.012
    for _ in range(4):
        pull = 0.6 * (average @ vertices - vertices)
        pull[~free] = 0.0
        vertices = vertices + pull
        gradient = _gradient(distance, vertices)
        square = np.maximum((gradient**2).sum(axis=1), 0.05)
        step = (distance(vertices) / square)[:, None] * gradient
        vertices = vertices - np.where(free[:, None], np.clip(step, -0.002, 0.002), 0.0)
    return vertices


def _hard_segments(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The one bone each vertex belongs to: 0 palm, 1-15 MANO joints, 16 forearm."""
    segment = np.zeros(len(vertices), np.int64)
    segment[vertices[:, 0] > joints[0, 0]] = FOREARM_BONE
    offsets = np.full((5, len(vertices)), np.inf)
    for k, finger in enumerate(FINGERS):
        p = joints[list(finger_joints(finger))]
        radius = np.array(body.HALF_BREADTH_MM[finger]) * 1e-3
        gaps = [_capsule(vertices, p[i], p[i + 1], (radius[i], radius[i + 1])) for i in range(3)]
        offsets[k] = np.min(gaps, axis=0)
    owner = offsets.argmin(axis=0)
    for k, finger in enumerate(FINGERS):
        p = joints[list(finger_joints(finger))]
        first_mano = 1 + 3 * ("index", "middle", "pinky", "ring", "thumb").index(finger)
        for i in range(3):
            before = p[i] - p[i - 1] if i > 0 else (p[1] - p[0] if finger != "thumb" else p[1] - p[0])
            after = p[i + 1] - p[i]
            normal = before / np.linalg.norm(before) + after / np.linalg.norm(after)
            beyond = (vertices - p[i]) @ normal > 0.0
            near = offsets[k] < (0.010 if (finger == "thumb" and i == 0) else 0.006)
            segment[(owner == k) & near & beyond] = first_mano + i
    return segment


def _weights(vertices: np.ndarray, faces: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Skin weights: each vertex starts with its own bone, then weights diffuse over the surface."""
    segment = _hard_segments(vertices, joints)
    weights = np.zeros((len(vertices), N_BONES))
    weights[np.arange(len(vertices)), segment] = 1.0
    average = _adjacency(faces, len(vertices))
    smooth = weights
    for i in range(14):
        smooth = 0.4 * smooth + 0.6 * (average @ smooth)
        if i == 5:
            fingers = smooth.copy()
    # The palm's own joints (knuckles, thumb base) blend over a longer way than the finger joints.
    knuckle = smooth[:, 0:1]
    weights = (1 - knuckle) * fingers + knuckle * smooth
    weights[weights < 1e-3] = 0.0
    return weights / weights.sum(axis=1, keepdims=True)


def vertex_normals(
    vertices: Float[np.ndarray, "vert 3"], faces: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vert 3"]:
    """Area-weighted unit vertex normals.

    Args:
        vertices: (V, 3) in any frame [m].
        faces: (F, 3) outward-oriented triangles.
    """
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    cross = np.cross(b - a, c - a)
    n = len(vertices)
    total = np.stack([sum(np.bincount(faces[:, i], cross[:, k], n) for i in range(3)) for k in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-20)


def build_rest_mesh(forearm_m: float = _STUB_M, cell_m: float = 0.0036) -> RestMesh:
    """Build the rest skin.

    Args:
        forearm_m: how far the arm reaches beyond the wrist joint [m].
        cell_m: grid spacing of marching cubes around the hand [m].
    """
    distance = signed_distance(forearm_m)
    joints = body.rest_joints()
    vertices, faces = _extract(distance, forearm_m, cell_m)
    vertices = _relax(distance, vertices, faces, joints[0, 0] + forearm_m)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    if np.einsum("ij,ij->", a, np.cross(b, c)) < 0:
        faces = np.ascontiguousarray(faces[:, ::-1])
    weights = _weights(vertices, faces, joints)
    assert weights.shape[1] == len(MANO_PARENTS) + 1
    return RestMesh(vertices, faces, vertex_normals(vertices, faces), weights)
