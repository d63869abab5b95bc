"""MANO's interface contract on a synthetic file: every form of it gives smplx's numbers, and no code in it runs."""

import pickle
import subprocess
import sys
import types

import numpy as np
import pytest
import torch
from scipy import sparse

from vitra_lib.core.errors import BadInput, MissingAsset, UnsafePickle
from vitra_lib.hands.grasps import sample_pose, to_rotations
from vitra_lib.hands.lbs import joint_transforms, skin
from vitra_lib.hands.mano import MANO_TIP_VERTICES, Mano
from vitra_lib.hands.mano_file import read_mano_file
from vitra_lib.hands.mano_layout import mano_layout, save_mano_layout
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.skeleton import JOINT21_OF_MANO16, MANO16_PLUS_TIPS_TO_21

smplx = pytest.importorskip("smplx")


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    layout = mano_layout(load_hand_model())
    rng = np.random.default_rng(0)
    return {**layout, "posedirs": 1e-4 * rng.normal(size=layout["posedirs"].shape)}  # the real file has them, too


def with_chumpy(arrays: dict[str, np.ndarray], path) -> None:
    """Pickle as the official file does: chumpy objects, a chosen view, a sparse regressor, Python 2 protocol."""
    ch, reordering = types.ModuleType("chumpy.ch"), types.ModuleType("chumpy.reordering")
    ch.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    reordering.Select = type("Select", (), {"__module__": "chumpy.reordering"})
    modules = {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": ch, "chumpy.reordering": reordering}
    shuffled = np.random.default_rng(1).permutation(arrays["shapedirs"].size)
    leaf, view = ch.Ch(), reordering.Select()
    leaf.__dict__.update(x=arrays["shapedirs"].ravel()[np.argsort(shuffled)])
    view.__dict__.update(a=leaf, idxs=shuffled, preferred_shape=arrays["shapedirs"].shape)
    template = ch.Ch()
    template.__dict__.update(x=arrays["v_template"])
    content = {
        **arrays, "shapedirs": view, "v_template": template, "J_regressor": sparse.csc_matrix(arrays["J_regressor"]),
        "f": arrays["f"].astype(np.uint32), "bs_type": "lrotmin", "bs_style": "lbs", "J": template,
    }  # fmt: skip
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps(content, protocol=2))
    finally:
        for name in modules:
            del sys.modules[name]


def files(arrays: dict[str, np.ndarray], folder) -> dict[str, object]:
    np.savez(folder / "MANO_RIGHT.npz", **arrays)
    (folder / "plain").mkdir()
    (folder / "plain" / "MANO_RIGHT.pkl").write_bytes(pickle.dumps(arrays, protocol=4))
    (folder / "chumpy").mkdir()
    with_chumpy(arrays, folder / "chumpy" / "MANO_RIGHT.pkl")
    return {name: folder / name / "MANO_RIGHT.pkl" for name in ("plain", "chumpy")} | {"npz": folder / "MANO_RIGHT.npz"}


def own_skinning(arrays, R: torch.Tensor, betas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """MANO written out with our own blend skinning, pose blend shapes included."""
    at = {k: torch.as_tensor(v, dtype=torch.float64) for k, v in arrays.items()}
    shaped = at["v_template"] + torch.einsum("nb,vcb->nvc", betas, at["shapedirs"])
    rest = torch.einsum("jv,nvc->njc", at["J_regressor"], shaped)
    feature = (R - torch.eye(3, dtype=torch.float64)).flatten(1)
    shaped = shaped + torch.einsum("np,vcp->nvc", feature, at["posedirs"])
    rotation, posed = joint_transforms(R, rest)
    vertices = skin(shaped, at["weights"], rotation, posed, rest)
    joints = torch.cat([posed, vertices[:, list(MANO_TIP_VERTICES)]], dim=1)[:, list(MANO16_PLUS_TIPS_TO_21)]
    return vertices, joints


def test_every_file_form_gives_the_same_hand_as_our_own_skinning(arrays, tmp_path):
    rng = np.random.default_rng(3)
    R = torch.as_tensor(to_rotations(np.stack([sample_pose(rng) for _ in range(6)])))
    betas = torch.as_tensor(rng.normal(size=(6, 10)))
    vertices, joints = own_skinning(arrays, R, betas)
    for form, path in files(arrays, tmp_path).items():
        mano = load_hand_model("mano", path)
        out = mano(R, betas)
        assert (out.vertices - vertices).abs().max() < 1e-5 and (out.joints - joints).abs().max() < 1e-5, form
        assert np.allclose(
            mano.rest_joints(betas.numpy())[:, JOINT21_OF_MANO16], _rest(arrays, betas.numpy()), atol=1e-12
        )
        flat = mano(torch.eye(3, dtype=torch.float64).expand(6, 15, 3, 3), betas)
        assert np.allclose(flat.joints.numpy(), mano.rest_joints(betas.numpy()), atol=1e-6)
        assert mano.faces.shape[1] == 3 and out.vertices.shape == (6, 778, 3)
    wrong, _ = own_skinning({**arrays, "posedirs": 0 * arrays["posedirs"]}, R, betas)  # control: no pose blend shapes
    assert (wrong - vertices).abs().max() > 1e-4


def _rest(arrays, betas: np.ndarray) -> np.ndarray:
    return np.einsum(
        "jv,nvc->njc",
        arrays["J_regressor"],
        arrays["v_template"] + np.einsum("nb,vcb->nvc", betas, arrays["shapedirs"]),
    )


def test_smplx_itself_loads_the_stand_in_file(tmp_path):
    standin = load_hand_model()
    save_mano_layout(standin, tmp_path / "MANO_RIGHT.npz")
    first = (tmp_path / "MANO_RIGHT.npz").read_bytes()
    save_mano_layout(standin, tmp_path / "MANO_RIGHT.npz")
    assert (tmp_path / "MANO_RIGHT.npz").read_bytes() == first
    layer = smplx.MANOLayer(str(tmp_path / "MANO_RIGHT.npz"), ext="npz", is_rhand=True)
    rng = np.random.default_rng(5)
    R = torch.as_tensor(to_rotations(np.stack([sample_pose(rng) for _ in range(3)]))).float()
    betas = torch.as_tensor(rng.normal(size=(3, 10))).float()
    out = layer(betas=betas, hand_pose=R, global_orient=torch.eye(3).expand(3, 1, 3, 3))
    joints = torch.cat([out.joints[:, :16], out.vertices[:, list(MANO_TIP_VERTICES)]], dim=1)
    ours = standin(R.double(), betas.double()).joints
    assert (joints[:, list(MANO16_PLUS_TIPS_TO_21)] - ours).abs().max() < 1e-5  # same joints, tips included


def test_regressor_is_exact_for_every_shape():
    standin = load_hand_model()
    layout = mano_layout(standin)
    betas = np.random.default_rng(0).normal(size=(20, 10))
    assert np.allclose(_rest(layout, betas), standin.rest_joints(betas)[:, JOINT21_OF_MANO16], atol=1e-12)
    assert np.allclose(layout["J_regressor"].sum(axis=1), 1) and layout["v_template"].shape == (778, 3)


class _Bomb:
    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        return subprocess.check_call, ([sys.executable, "-c", f"open({self.mark!r}, 'w')"],)


def test_malicious_pickles_are_refused_and_run_nothing(arrays, tmp_path):
    mark, path = tmp_path / "ran", tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps({**arrays, "J": _Bomb(mark)}))
    with pytest.raises(UnsafePickle, match="subprocess.check_call"):
        Mano(path)
    assert not mark.exists()
    np.savez(tmp_path / "MANO_RIGHT.npz", **{**arrays, "hands_mean": np.array([_Bomb(mark)], dtype=object)})
    with pytest.raises(UnsafePickle):
        Mano(tmp_path / "MANO_RIGHT.npz")
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # control: an ordinary reader does run it
    assert mark.exists()


def test_bad_files_are_refused_with_a_reason(arrays, tmp_path):
    with pytest.raises(MissingAsset, match="mano.is.tue.mpg.de"):
        Mano(tmp_path / "MANO_RIGHT.pkl")
    np.savez(tmp_path / "MANO_LEFT.npz", **arrays)
    with pytest.raises(BadInput, match="left hand"):
        Mano(tmp_path / "MANO_LEFT.npz")
    np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if k != "weights"})
    with pytest.raises(BadInput, match="lacks weights"):
        read_mano_file(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", **{**arrays, "weights": arrays["weights"][:, :15]})
    with pytest.raises(BadInput, match="weights has shape"):
        read_mano_file(tmp_path / "b.npz")
    (tmp_path / "c.pkl").write_bytes(b"not a pickle")
    with pytest.raises(BadInput):
        read_mano_file(tmp_path / "c.pkl")
