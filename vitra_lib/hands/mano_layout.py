"""The stand-in hand as a file in MANO's layout: 778 vertices, 16 joints, tips at MANO's vertex numbers.

Any tool that reads MANO_RIGHT.npz can be tried out with it, without a licensed file. The skin is resampled to
MANO's number of vertices; helper bones and the forearm do not exist in the layout, so bent fingers are plainer.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from vitra_lib.core.files import atomic_path
from vitra_lib.hands.mano import MANO_TIP_VERTICES
from vitra_lib.hands.skeleton import JOINT21_OF_MANO16, MANO_PARENTS, TIPS
from vitra_lib.hands.standin import StandinHand

N_VERTICES = 778


def _sample_surface(
    vertices: Float[np.ndarray, "vert 3"], faces: Int[np.ndarray, "faces 3"], seeds: list[int], count: int
) -> tuple[Int[np.ndarray, " sample"], Int[np.ndarray, "triangles 3"]]:
    """Farthest-point samples along the surface, and the triangles between neighbouring cells."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    graph = sparse.coo_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(vertices),) * 2).tocsr()
    chosen = list(seeds)
    nearest = dijkstra(graph, directed=False, indices=chosen)
    owner, distance = nearest.argmin(axis=0), nearest.min(axis=0)
    while len(chosen) < count:
        new = int(distance.argmax())
        from_new = dijkstra(graph, directed=False, indices=new, limit=float(distance[new]) + 1e-9)
        closer = from_new < distance
        owner[closer], distance[closer] = len(chosen), from_new[closer]
        chosen.append(new)
    triangles = owner[faces]
    whole = (
        (triangles[:, 0] != triangles[:, 1])
        & (triangles[:, 1] != triangles[:, 2])
        & (triangles[:, 2] != triangles[:, 0])
    )
    triangles = triangles[whole]
    _, first = np.unique(np.sort(triangles, axis=1), axis=0, return_index=True)
    return np.array(chosen), triangles[np.sort(first)]


def _regressor(
    vertices: Float[np.ndarray, "vert 3"],
    shapedirs: Float[np.ndarray, "vert 3 10"],
    joints: Float[np.ndarray, "joint 3"],
    directions: Float[np.ndarray, "10 joint 3"],
) -> Float[np.ndarray, "joint vert"]:
    """Weights over nearby vertices that give each joint exactly, for every shape: the smallest such weights."""
    result = np.zeros((len(joints), len(vertices)))
    for j, joint in enumerate(joints):
        near = np.argsort(np.linalg.norm(vertices - joint, axis=1), kind="stable")[:160]
        rows = np.concatenate([np.ones((1, len(near))), vertices[near].T, shapedirs[near].reshape(len(near), -1).T])
        wanted = np.concatenate([[1.0], joint, directions[:, j].T.ravel()])
        start = np.full(len(near), 1.0 / len(near))
        result[j, near] = start + np.linalg.lstsq(rows, wanted - rows @ start, rcond=1e-12)[0]
    return result


def mano_layout(model: StandinHand) -> dict[str, np.ndarray]:
    """The stand-in as the arrays of a MANO file.

    Args:
        model: the stand-in hand.

    Returns:
        v_template (778, 3), f, J_regressor (16, 778), weights (778, 16), shapedirs (778, 3, 10), posedirs (zeros),
        kintree_table, hands_components (identity), hands_mean (zeros).
    """
    zero = np.zeros(10)
    joints21 = model.rest_joints(zero)
    directions21 = model.rest_joints(np.eye(10)) - joints21
    tips = [int(np.linalg.norm(model.rest_vertices - joints21[tip], axis=1).argmin()) for tip in TIPS]
    chosen, triangles = _sample_surface(model.rest_vertices, model.faces, tips, N_VERTICES)
    order = np.full(N_VERTICES, -1)
    order[list(MANO_TIP_VERTICES)] = np.arange(5)
    order[order < 0] = np.arange(5, N_VERTICES)
    number = np.empty(N_VERTICES, np.int64)
    number[order] = np.arange(N_VERTICES)
    source = chosen[order]
    vertices = model.rest_vertices[source].copy()
    shapedirs = np.transpose(model.shape_directions[:, source], (1, 2, 0)).copy()
    weights = model.skin_weights[source, :16].copy()
    weights[:, 0] += model.skin_weights[source, 16]
    for vertex, tip, bone in zip(MANO_TIP_VERTICES, TIPS, (15, 3, 6, 12, 9), strict=True):
        vertices[vertex], shapedirs[vertex] = joints21[tip], directions21[:, tip].T
        weights[vertex] = np.eye(16)[bone]
    ids = list(JOINT21_OF_MANO16)
    return {
        "v_template": vertices,
        "f": number[triangles],
        "J_regressor": _regressor(vertices, shapedirs, joints21[ids], directions21[:, ids]),
        "weights": weights,
        "shapedirs": shapedirs,
        "posedirs": np.zeros((N_VERTICES, 3, 135)),
        "kintree_table": np.array([MANO_PARENTS, range(16)], np.int64),
        "hands_components": np.eye(45),
        "hands_mean": np.zeros(45),
    }


def save_mano_layout(model: StandinHand, path: str | Path) -> None:
    """Write `mano_layout` as an .npz file that smplx loads (name it MANO_RIGHT.npz).

    Args:
        model: the stand-in hand.
        path: where to write.

    Raises:
        WriteFailed: the file can't be written.
    """
    arrays = mano_layout(model)
    with atomic_path(path) as part, open(part, "wb") as stream:
        np.savez(stream, **arrays)
