"""The stand-in hand: anthropometric bones, linear plausible shapes, watertight skin, skinning that obeys its laws."""

import numpy as np
import pytest
import torch
import trimesh

from vitra_lib.geometry.rotations import exp
from vitra_lib.hands import anthropometry as body
from vitra_lib.hands.grasps import POSES, named_pose, sample_pose, to_rotations
from vitra_lib.hands.lbs import half_rotation, joint_transforms
from vitra_lib.hands.model import HandModel, load_hand_model
from vitra_lib.hands.skeleton import (
    BONES,
    FINGERS,
    JOINT21_OF_MANO16,
    MANO_PARENTS,
    PARENTS,
    bone_lengths,
    finger_joints,
)
from vitra_lib.hands.standin import StandinHand

ZERO = np.zeros(10)


@pytest.fixture(scope="module")
def hand() -> StandinHand:
    return load_hand_model()


def posed(hand: HandModel, angles: np.ndarray, betas: np.ndarray = ZERO) -> tuple[np.ndarray, np.ndarray]:
    out = hand(torch.as_tensor(to_rotations(angles)), torch.as_tensor(np.broadcast_to(betas, (len(angles), 10)).copy()))
    return out.vertices.numpy(), out.joints.numpy()


def test_rest_bones_equal_the_anthropometric_table(hand):
    joints = hand.rest_joints(ZERO)
    for finger in FINGERS:
        ids = finger_joints(finger)
        table = [*body.PHALANGES_MM[finger]]
        table[-1] += body.SOFT_TIP_MM[finger]
        if finger == "thumb":
            table = [body.METACARPAL_MM["thumb"], *table]
        measured = [1e3 * np.linalg.norm(joints[ids[k + 1]] - joints[ids[k]]) for k in range(3)]
        assert np.allclose(measured, table, atol=1e-9), finger
    straight = np.linalg.norm(joints[0] - joints[9]) + bone_lengths(joints)[9:12].sum()
    assert straight == pytest.approx(body.HAND_LENGTH_M, abs=1e-3)


def test_template_frame_is_manos(hand):
    joints = hand.rest_joints(ZERO)
    assert joints[12, 0] < joints[9, 0] < joints[0, 0]  # fingers point to -x
    assert joints[4, 2] > joints[5, 2] > joints[9, 2] > joints[13, 2] > joints[17, 2]  # thumb side is +z
    assert np.linalg.norm(joints[0]) > 0.03  # the wrist is not the origin
    angles = np.zeros((1, 15, 3))
    angles[0, :12, 2] = 0.6  # flexion is positive about z and brings the tips to the palm side, -y
    _, bent = posed(hand, angles)
    assert (bent[0, [8, 12, 16, 20], 1] < joints[[8, 12, 16, 20], 1] - 0.02).all()


def test_skin_is_watertight_and_as_broad_as_a_hand(hand):
    for model in (hand, load_hand_model(with_forearm=True)):
        mesh = trimesh.Trimesh(model.rest_vertices, model.faces, process=False)
        assert mesh.is_watertight and mesh.is_winding_consistent and mesh.euler_number == 2 and mesh.volume > 0
        assert len(mesh.vertices) < 9000
    at_knuckles = np.abs(hand.rest_vertices[:, 0] - hand.rest_joints(ZERO)[5, 0]) < 0.004
    not_thumb = hand.skin_weights[:, 13:16].sum(axis=1) < 0.01
    breadth = np.ptp(hand.rest_vertices[at_knuckles & not_thumb, 2])
    assert breadth == pytest.approx(body.HAND_BREADTH_M, abs=0.004)
    depth = np.ptp(hand.rest_vertices[at_knuckles & not_thumb, 1])
    assert 0.022 < depth < 0.034


def test_tips_lie_on_the_skin(hand):
    tips = hand.rest_joints(ZERO)[[4, 8, 12, 16, 20]]
    gap = np.linalg.norm(hand.rest_vertices[:, None] - tips, axis=2).min(axis=0)
    assert gap.max() < 0.003


def test_betas_are_linear_and_plausible(hand):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 10))
    joints = hand.rest_joints(np.stack([ZERO, a, b, a + b]))
    assert np.allclose(joints[3] - joints[0], joints[1] + joints[2] - 2 * joints[0], atol=1e-15)
    rest = bone_lengths(hand.rest_joints(ZERO))
    for k in range(10):
        for value in (-3.0, 3.0):
            ratio = bone_lengths(hand.rest_joints(value * np.eye(10)[k])) / rest
            assert (ratio > 0.80).all() and (ratio < 1.20).all(), k
    size = bone_lengths(hand.rest_joints(2.0 * np.eye(10)[0])) / rest
    assert np.allclose(size, 1.11, atol=1e-12)  # the first beta scales everything alike
    drawn = hand.rest_joints(rng.normal(size=(400, 10)))
    length = np.linalg.norm(drawn[:, 9] - drawn[:, 0], axis=1) + bone_lengths(drawn)[:, 9:12].sum(axis=1)
    assert 0.005 < length.std() < 0.017  # people: about 1 cm


def test_shaped_skin_follows_its_joints_and_stays_whole(hand):
    for k in range(10):
        for value in (-3.0, 3.0):
            betas = value * np.eye(10)[k]
            vertices, joints = posed(hand, np.zeros((1, 15, 3)), betas)
            assert np.allclose(joints[0], hand.rest_joints(betas), atol=1e-12)
            mesh = trimesh.Trimesh(vertices[0], hand.faces, process=False)
            assert 0.5 < mesh.volume / trimesh.Trimesh(hand.rest_vertices, hand.faces, process=False).volume < 1.7
            gap = np.linalg.norm(vertices[0][:, None] - joints[0, [4, 8, 12, 16, 20]], axis=2).min(axis=0)
            assert gap.max() < 0.004, k


def test_identity_pose_is_the_template(hand):
    vertices, joints = posed(hand, np.zeros((2, 15, 3)))
    assert np.allclose(vertices[1], hand.rest_vertices, atol=1e-15) and np.allclose(
        joints[1], hand.rest_joints(ZERO), atol=1e-15
    )


def test_weights_are_a_smooth_partition(hand):
    weights = hand.skin_weights
    assert np.allclose(weights.sum(axis=1), 1) and weights.min() >= 0
    assert np.allclose(hand._half_weights.sum(axis=1), 1) and hand._half_weights.min() >= -1e-12
    edges = np.unique(np.sort(np.concatenate([hand.faces[:, [0, 1]], hand.faces[:, [1, 2]]]), axis=1), axis=0)
    jump = np.abs(weights[edges[:, 0]] - weights[edges[:, 1]]).max(axis=1)
    assert jump.max() < 0.45 and np.quantile(jump, 0.95) < 0.25
    hard = np.eye(17)[weights.argmax(axis=1)]  # control: unblended weights jump by one
    assert np.abs(hard[edges[:, 0]] - hard[edges[:, 1]]).max() == 1.0
    # A finger never drags its neighbour: index and ring share no vertex.
    assert (weights[:, 1:4].sum(axis=1) * weights[:, 10:13].sum(axis=1)).max() < 1e-3


def test_forward_kinematics_agrees_with_a_plain_recursion(hand):
    rng = np.random.default_rng(1)
    angles, betas = np.stack([sample_pose(rng) for _ in range(5)]), rng.normal(size=10)
    R = to_rotations(angles)
    _, joints = posed(hand, angles, betas)
    rest = hand.rest_joints(betas)
    for n in range(5):
        world = {0: np.eye(3)}
        place = {0: rest[0]}
        for j in range(1, 16):
            p = MANO_PARENTS[j]
            a, b = JOINT21_OF_MANO16[p], JOINT21_OF_MANO16[j]
            place[j] = place[p] + world[p] @ (rest[b] - rest[a])
            world[j] = world[p] @ R[n, j - 1]
            assert np.allclose(joints[n, b], place[j], atol=1e-12)
        for tip in (4, 8, 12, 16, 20):
            j = JOINT21_OF_MANO16.index(PARENTS[tip])
            assert np.allclose(joints[n, tip], place[j] + world[j] @ (rest[tip] - rest[PARENTS[tip]]), atol=1e-12)
    assert np.allclose(bone_lengths(joints), bone_lengths(rest), atol=1e-12)  # posing keeps every bone
    assert len(BONES) == 20


def test_skin_keeps_near_its_joints_in_every_named_pose(hand):
    vertices, joints = posed(hand, np.stack([named_pose(name) for name in POSES]))
    inner = [j for j in range(21) if j not in (0, 4, 8, 12, 16, 20)]
    for v, j in zip(vertices, joints, strict=True):
        gap = np.linalg.norm(v[:, None] - j[inner], axis=2).min(axis=0)
        assert gap.max() < 0.021  # never further from the skin than the flesh is thick


def test_bent_finger_keeps_its_volume(hand):
    angles = np.zeros((1, 15, 3))
    angles[0, 4, 2] = np.deg2rad(90)  # middle PIP
    vertices, joints = posed(hand, angles)
    # Back of the bent knuckle: distance from joint to skin, away from both phalanges.
    out = -(joints[0, 9] - joints[0, 10]) - (joints[0, 11] - joints[0, 10])
    out /= np.linalg.norm(out)
    along = (vertices[0] - joints[0, 10]) @ out
    off = np.linalg.norm(vertices[0] - joints[0, 10] - along[:, None] * out, axis=1)
    bent = along[off < 0.003].max()
    assert bent > 0.75 * body.HALF_BREADTH_MM["middle"][1] * 1e-3
    R, p = joint_transforms(
        torch.as_tensor(to_rotations(angles)), torch.as_tensor(hand.rest_joints(ZERO)[None, list(JOINT21_OF_MANO16)])
    )
    rest16 = hand.rest_joints(ZERO)[list(JOINT21_OF_MANO16)]
    plain = np.zeros_like(hand.rest_vertices)
    weights = hand.skin_weights[:, :16] + np.eye(16)[0] * hand.skin_weights[:, 16:]
    for j in range(16):
        plain += weights[:, j, None] * ((hand.rest_vertices - rest16[j]) @ R[0, j].numpy().T + p[0, j].numpy())
    along = (plain - joints[0, 10]) @ out
    off = np.linalg.norm(plain - joints[0, 10] - along[:, None] * out, axis=1)
    assert along[off < 0.003].max() < bent - 0.0008  # control: plain skinning loses the knuckle


def test_half_rotation_squares_to_the_whole():
    rng = np.random.default_rng(2)
    R = torch.as_tensor(exp(rng.normal(size=(50, 3))))
    half = half_rotation(R)
    assert torch.allclose(half @ half, R, atol=1e-10)
    assert torch.allclose(half_rotation(torch.eye(3, dtype=torch.float64)), torch.eye(3, dtype=torch.float64))


def test_the_forearm_turns_without_the_hand():
    arm = load_hand_model(with_forearm=True)
    R = torch.eye(3, dtype=torch.float64).expand(1, 15, 3, 3)
    bend = torch.as_tensor(exp(np.array([[0.0, 0.0, 0.5]])))
    straight, bent = (
        arm(R, torch.zeros(1, 10, dtype=torch.float64)),
        arm(R, torch.zeros(1, 10, dtype=torch.float64), bend),
    )
    assert torch.equal(straight.joints, bent.joints)
    fingers = arm.rest_vertices[:, 0] < -0.05
    moved = (straight.vertices - bent.vertices)[0].norm(dim=1).numpy()
    assert moved[fingers].max() < 1e-12 and moved.max() > 0.08
    assert np.ptp(arm.rest_vertices[:, 0]) > 0.40 and np.ptp(load_hand_model().rest_vertices[:, 0]) < 0.25


def test_gradients_reach_pose_and_shape(hand):
    R = torch.as_tensor(to_rotations(named_pose("relaxed")[None])).requires_grad_()
    betas = torch.zeros(1, 10, dtype=torch.float64, requires_grad=True)
    hand(R, betas).vertices.square().sum().backward()
    assert torch.isfinite(R.grad).all() and (betas.grad.abs() > 0).all()
