"""The mirror rule and posed hands: an involution, rigid equivariance, left = mirrored right."""

import numpy as np
import pytest
import torch
import trimesh

from vitra_lib.core.errors import MissingAsset, UnknownName
from vitra_lib.geometry.rotations import exp
from vitra_lib.hands.grasps import sample_pose, to_rotations
from vitra_lib.hands.mirror import MIRROR, mirror_faces, mirror_points, mirror_rotation
from vitra_lib.hands.model import HandModel, load_hand_model
from vitra_lib.hands.posed import faces_for, pose_hand
from vitra_lib.hands.skin import SKIN_TONES, skin_albedo


def motion(time: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fingers = to_rotations(np.stack([sample_pose(rng) for _ in range(time)]))
    return exp(rng.normal(size=(time, 3))), rng.normal(size=(time, 3)), fingers, rng.normal(size=10)


def test_mirror_is_an_involution_and_keeps_rotations_proper():
    R, t, _, _ = motion(6)
    assert np.array_equal(mirror_points(mirror_points(t)), t) and np.array_equal(mirror_rotation(mirror_rotation(R)), R)
    assert np.allclose(mirror_rotation(R), MIRROR @ R @ MIRROR) and np.allclose(np.linalg.det(mirror_rotation(R)), 1)
    assert np.allclose(
        np.einsum("nij,nj->ni", mirror_rotation(R), mirror_points(t)), mirror_points(np.einsum("nij,nj->ni", R, t))
    )


def test_mirroring_everything_turns_a_right_hand_into_the_left():
    model = load_hand_model()
    R, t, fingers, betas = motion(70)  # longer than one chunk
    right_v, right_j = pose_hand(model, "right", R, t, fingers, betas)
    left_v, left_j = pose_hand(model, "left", mirror_rotation(R), mirror_points(t), fingers, betas)
    assert np.allclose(left_v, mirror_points(right_v), atol=1e-12) and np.allclose(
        left_j, mirror_points(right_j), atol=1e-12
    )
    wrong, _ = pose_hand(model, "left", R, t, fingers, betas)  # control: without mirroring the wrist rotation
    assert np.abs(wrong - mirror_points(right_v)).max() > 0.05


def test_wrist_is_at_t_and_rigid_motions_carry_through():
    model = load_hand_model()
    R, t, fingers, betas = motion(4)
    G, s = exp(np.array([[0.3, -1.0, 0.7]]))[0], np.array([0.1, 2.0, -0.4])
    for side in ("left", "right"):
        v, j = pose_hand(model, side, R, t, fingers, betas)
        assert np.allclose(j[:, 0], t, atol=1e-14)
        v2, j2 = pose_hand(model, side, G @ R, t @ G.T + s, fingers, betas)
        assert np.allclose(v2, v @ G.T + s, atol=1e-12) and np.allclose(j2, j @ G.T + s, atol=1e-12)


def test_both_hands_are_closed_with_outward_normals():
    model = load_hand_model()
    R, t, fingers, betas = motion(1)
    for side in ("left", "right"):
        v, _ = pose_hand(model, side, R, t, 0 * fingers + np.eye(3), 0 * betas)
        mesh = trimesh.Trimesh(v[0], faces_for(model, side), process=False)
        assert mesh.is_watertight and mesh.volume > 2e-4
    assert trimesh.Trimesh(v[0], mirror_faces(model.faces), process=False).volume < 0  # control: wrong winding


def test_empty_motion_and_unknown_names():
    model = load_hand_model()
    assert isinstance(model, HandModel)
    R, t, fingers, betas = motion(1)
    v, j = pose_hand(model, "right", R[:0], t[:0], fingers[:0], betas)
    assert v.shape == (0, len(model.rest_vertices), 3) and j.shape == (0, 21, 3)
    for call in (lambda: load_hand_model("smpl"), lambda: skin_albedo(model, "green")):
        with pytest.raises(UnknownName, match="legal are"):
            call()
    with pytest.raises(MissingAsset, match="MANO_RIGHT.pkl"):
        load_hand_model("mano")


def test_skin_colours_are_skin():
    model = load_hand_model()
    for tone in SKIN_TONES:
        colour = skin_albedo(model, tone)
        assert colour.shape == model.rest_vertices.shape and colour.min() >= 0 and colour.max() <= 1
        red, green, blue = colour.mean(axis=0)
        assert red > green > blue
    dark = skin_albedo(model, "dark")
    palm, back = (model.rest_normals[:, 1] < -0.8), (model.rest_normals[:, 1] > 0.8)
    inside = model.rest_vertices[:, 0] < 0.03
    assert dark[palm & inside].mean() > 1.5 * dark[back & inside].mean()
    assert np.array_equal(skin_albedo(model, "tan", 3), skin_albedo(model, "tan", 3))
    assert torch.is_tensor(
        model(torch.eye(3).expand(1, 15, 3, 3), torch.zeros(1, 10)).vertices
    )  # float32 works as well
