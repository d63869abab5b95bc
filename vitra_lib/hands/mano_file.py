"""Reading MANO_RIGHT.pkl or .npz without chumpy, and without running anything that the file may hide.

The official pickle stores some arrays as chumpy objects (`Ch`: the values; `Select`: chosen entries of another one) and
the joint regressor as a SciPy sparse matrix. Each is taken as plain data and turned into a NumPy array here.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.core.pickles import ForeignObject, load_npz, load_pickle

MANO_CLASSES: tuple[str, ...] = (
    "chumpy.ch.Ch",
    "chumpy.reordering.Select",
    "scipy.sparse.csc.csc_matrix",
    "scipy.sparse._csc.csc_matrix",
)
"""The only classes, beyond plain arrays and containers, that a MANO pickle may name."""

SHAPES: dict[str, tuple[int | None, ...]] = {
    "v_template": (None, 3),
    "f": (None, 3),
    "J_regressor": (16, None),
    "weights": (None, 16),
    "shapedirs": (None, 3, 10),
    "posedirs": (None, 3, 135),
    "kintree_table": (2, 16),
    "hands_components": (45, 45),
    "hands_mean": (45,),
}
"""What smplx reads from the file; None = number of vertices (or of faces for `f`)."""


def read_mano_file(path: str | Path) -> dict[str, np.ndarray]:
    """Read the arrays of a MANO file.

    Args:
        path: MANO_RIGHT.pkl (as the authors give it, or with plain arrays) or MANO_RIGHT.npz.

    Returns:
        The arrays named in `SHAPES`, dense, float64 (faces and kintree_table int64).

    Raises:
        MissingAsset: there is no such file.
        UnsafePickle: the file asks for anything but data; nothing in it was run.
        BadInput: it is no MANO file of a right hand.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingAsset(
            f"No MANO file at {path}: register at mano.is.tue.mpg.de, accept the licence, download 'Models & Code' and "
            "give the path of MANO_RIGHT.pkl; or use the hand model 'standin'."
        )
    if "LEFT" in path.name.upper():
        raise BadInput(f"{path.name} is the left hand: give MANO_RIGHT, left hands are its mirror images here.")
    content = load_npz(path) if path.suffix == ".npz" else load_pickle(path, MANO_CLASSES, encoding="latin1")
    if not isinstance(content, dict):
        raise BadInput(f"{path.name} holds no table of arrays, so it isn't a MANO file.")
    missing = sorted(set(SHAPES) - set(content))
    if missing:
        raise BadInput(f"{path.name} isn't a MANO file: it lacks {', '.join(missing)}.")
    arrays = {name: _as_array(content[name], f"{path.name}:{name}") for name in SHAPES}
    _check_shapes(arrays, path.name)
    for name in ("f", "kintree_table"):
        arrays[name] = arrays[name].astype(np.int64)
    # The root's parent is stored as the largest 32-bit number.
    arrays["kintree_table"][0, 0] = -1
    return arrays


def _as_array(value: Any, what: str) -> np.ndarray:
    """A dense array from an array, a chumpy object or a sparse matrix."""
    if isinstance(value, ForeignObject):
        value = _foreign_array(value, what)
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise BadInput(f"{what} isn't an array of numbers.")
    return array.astype(np.float64)


def _foreign_array(thing: ForeignObject, what: str) -> np.ndarray:
    state = thing.state
    if not isinstance(state, dict):
        raise BadInput(f"{what} is a {thing.module}.{thing.name} without content.")
    try:
        if thing.name == "Ch":
            return _as_array(state["x"], what)
        if thing.name == "Select":
            chosen = _as_array(state["a"], what).ravel()[np.asarray(state["idxs"]).astype(np.int64)]
            return chosen.reshape(tuple(int(n) for n in state["preferred_shape"]))
        rows, columns = (int(n) for n in state["_shape"])
        dense = np.zeros((rows, columns))
        ends, indices = np.asarray(state["indptr"]), np.asarray(state["indices"])
        column = np.repeat(np.arange(columns), np.diff(ends))
        np.add.at(dense, (indices, column), np.asarray(state["data"]))
        return dense
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadInput(f"{what} is a damaged {thing.module}.{thing.name} ({type(error).__name__}: {error}).") from error


def _check_shapes(arrays: dict[str, np.ndarray], name: str) -> None:
    vertices = len(arrays["v_template"])
    for key, shape in SHAPES.items():
        if key == "shapedirs" and arrays[key].ndim == 3 and arrays[key].shape[2] > 10:
            arrays[key] = arrays[key][:, :, :10]
        # `f` counts faces, everything else counts vertices.
        wanted = tuple((len(arrays[key]) if key == "f" else vertices) if n is None else n for n in shape)
        if arrays[key].shape != wanted:
            raise BadInput(f"{name}: {key} has shape {arrays[key].shape}, but a MANO hand needs {wanted}.")
    if vertices <= 744 or arrays["f"].min() < 0 or arrays["f"].max() >= vertices:
        raise BadInput(f"{name}: the mesh with {vertices} vertices can't be MANO's (778).")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise BadInput(f"{name} holds values that are not finite.")
