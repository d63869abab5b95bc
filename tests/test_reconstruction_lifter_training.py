"""Data and training of the lifter: shards survive interruption, training beats its controls, the choice is blind."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.rotations import exp
from vitra_lib.hands.grasps import sample_pose, to_rotations
from vitra_lib.hands.kinematics import joints_of, rest_chains
from vitra_lib.hands.model import load_hand_model
from vitra_lib.reconstruction.identity import Sighting
from vitra_lib.reconstruction.lifter import Lifter, encode
from vitra_lib.reconstruction.lifter_data import (
    LifterSamples,
    RenderJob,
    TruePoses,
    load_poses,
    load_samples,
    pose_shards,
    render_shards,
    samples_of,
)
from vitra_lib.reconstruction.lifter_scores import (
    constant_control,
    errors,
    fit_belief,
    lift_samples,
    palm_rotation_error,
)
from vitra_lib.reconstruction.lifter_training import (
    QUICK_CANDIDATES,
    Candidate,
    Simulated,
    save,
    split,
    table,
    train,
)
from vitra_lib.reconstruction.tracker_model import TrackerModel
from vitra_lib.tabletop.hand_poses import HeadCamera, arm_pose, sample_plan

K = np.array([[300.0, 0.0, 160.0], [0.0, 300.0, 120.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def made_up():
    """Perfect 2-D landmarks of true hands, and a 3-D guess flattened along the ray as a tracker's is."""
    rng = np.random.default_rng(0)
    chains = rest_chains(load_hand_model("standin"), np.zeros(10))
    joints = []
    for _ in range(500):
        camera = HeadCamera.sample(rng, 0.75)
        pose = arm_pose(camera, sample_plan(camera, rng))
        hand = joints_of(chains, to_rotations(sample_pose(rng)))
        joints.append(hand @ pose.R_cam_wrist.T + pose.t_cam_wrist)
    joints = np.array(joints)
    joints = joints[joints[..., 2].min(axis=1) > 0.05]
    guess = (joints - joints[:, :1]) * [1.0, 1.0, 0.4]
    n = len(joints)
    rays = joints / joints[..., 2:]
    return LifterSamples(rays, guess, np.full(n, 0.9), joints, np.arange(n), np.ones(n, bool), np.zeros(n))


def blank_pieces(seed: int, index: int):
    """A clip without a hand: every worker can make it, and it yields no sample."""
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    return [SimpleNamespace(frames=frames, K_px=K, times_s=np.arange(2.0), joints_cam={"right": np.ones((2, 21, 3))})]


def test_training_beats_the_constant_pose(made_up):
    training, _, test = split(made_up)
    constant = errors(lift_samples(constant_control(training), test), test.joints_cam)
    ridge = errors(lift_samples(train(training, QUICK_CANDIDATES[0], 0), test), test.joints_cam)
    assert ridge.rotation_deg < 0.6 * constant.rotation_deg
    assert ridge.camera_mm < 0.8 * constant.camera_mm


def test_table_chooses_on_validation_and_writes_what_it_loads(made_up, tmp_path):
    candidates = [QUICK_CANDIDATES[0], Candidate("useless", width=0, weight_decay=1e9)]
    lifter, chosen, record = table(made_up, candidates, seed=0)
    assert chosen.name == QUICK_CANDIDATES[0].name == record["chosen"]
    save(lifter, tmp_path / "w.npz", record)
    again = Lifter.load(tmp_path / "w.npz")
    a, b = lift_samples(lifter, made_up), lift_samples(again, made_up)
    assert np.median(np.linalg.norm(a - b, axis=-1)) < 1e-3  # half precision
    np.testing.assert_allclose(again.belief, lifter.belief, rtol=1e-5)
    np.testing.assert_allclose(record["belief"], lifter.belief, atol=1e-4)
    assert json.loads((tmp_path / "w.json").read_text())["samples"]["training"] > 0
    assert not list(tmp_path.glob("*.tmp"))


def test_belief_finds_how_doubt_goes_with_error(made_up):
    lifter = train(made_up, Candidate("tiny", width=32, hidden=1, epochs=4, members=2), 0)
    features, frame = encode(made_up.rays_cam, made_up.world_landmarks_m, made_up.score)
    joints, _, doubts = lifter.doubts(features, frame)
    wanted = np.array([-1.0, 0.6, 0.3, -0.2])
    # truths that lie just as far away as the wanted belief says
    off_m = np.exp(wanted[0] + doubts @ wanted[1:])
    moved = replace(made_up, joints_cam=joints + off_m[:, None, None] * [0.0, 0.6, 0.8])
    np.testing.assert_allclose(fit_belief(lifter, [moved]), wanted, atol=1e-6)
    # sets count alike, however large: thirty copies of one set do not drown another
    twice = replace(moved, joints_cam=joints + 2 * off_m[:, None, None] * [0.0, 0.6, 0.8])
    many = LifterSamples.joined([twice] * 30)
    np.testing.assert_allclose(fit_belief(lifter, [moved, many])[0], wanted[0] + 0.5 * np.log(2), atol=1e-6)
    assert lifter.belief.tolist() == [0, 1, 0, 0], "an untaught belief takes the networks' word"


def test_perceptron_is_reproducible(made_up):
    tiny = Candidate("tiny", width=16, hidden=1, epochs=2)
    a, b = train(made_up, tiny, 3), train(made_up, tiny, 3)
    np.testing.assert_array_equal(a.layers[0][0][0], b.layers[0][0][0])
    assert not np.array_equal(train(made_up, tiny, 4).layers[0][0][0], a.layers[0][0][0])


def test_split_keeps_clips_together(made_up):
    parts = split(made_up)
    assert sum(len(p) for p in parts) == len(made_up)
    clips = [set(p.clip) for p in parts]
    assert not (clips[0] & clips[1] or clips[0] & clips[2] or clips[1] & clips[2])


def test_palm_rotation_error_is_the_angle_turned(made_up):
    turned = made_up.joints_cam[:20] @ exp(np.array([0.1, -0.2, 0.2])).T + [0.0, 0.0, 0.3]
    np.testing.assert_allclose(palm_rotation_error(turned, made_up.joints_cam[:20]), 0.3, atol=1e-9)


def test_too_few_samples_are_refused(made_up):
    with pytest.raises(BadInput, match="too few"):
        table(made_up.take(np.arange(30)), list(QUICK_CANDIDATES), 0)


def test_finished_shards_are_kept_and_missing_ones_made(tmp_path):
    job = RenderJob(tmp_path, seed=5, count=5, clips_per_shard=2)
    assert list(render_shards(job, blank_pieces)) == [(2, 0), (2, 0), (1, 0)]
    paths = sorted(tmp_path.iterdir())
    assert [p.name for p in paths] == ["views_0005_000000.npz", "views_0005_000002.npz", "views_0005_000004.npz"]
    before = [p.read_bytes() for p in paths]
    paths[1].unlink()
    assert list(render_shards(job, blank_pieces)) == [(2, 0)]
    assert [p.read_bytes() for p in paths] == before
    with pytest.raises(BadInput, match="no detected hand"):
        load_samples(tmp_path)
    with pytest.raises(BadInput, match="vitra lifter render"):
        load_samples(tmp_path / "empty")


def test_only_sightings_on_the_true_hand_become_samples(made_up):
    joints = made_up.joints_cam[:2]
    piece = SimpleNamespace(
        frames=np.zeros((2, 4, 4, 3), np.uint8), K_px=K, times_s=np.array([0.5, 0.6]), joints_cam={"right": joints}
    )
    projected = joints @ K.T
    px = projected[..., :2] / projected[..., 2:]
    guess = np.zeros((21, 3))
    forward = [[Sighting(0, px[0] + 1.0, guess, 0.9)], [Sighting(1, px[1] + 500.0, guess, 0.9)]]
    rows = samples_of(piece, 7, forward, [[], []])
    assert len(rows) == 1
    assert rows[0][-2:] == (7, 0.5)
    np.testing.assert_array_equal(rows[0][0], px[0] + 1.0)
    # a second hand that is nearer to the sighting owns it
    piece.joints_cam["left"] = joints.copy()
    piece.joints_cam["right"] = joints + [0.02, 0.0, 0.0]
    assert [row[5] for row in samples_of(piece, 7, forward, [[], []])] == [False]


def test_poses_are_stored_mirrored_to_right_hands_and_read_back(made_up, tmp_path):
    joints = made_up.joints_cam[:4]
    job = RenderJob(tmp_path, seed=3, count=2, clips_per_shard=1, prefix="poses")

    def two_hands(seed: int, index: int) -> dict[str, np.ndarray]:
        return {"left": joints[:1] * [-1.0, 1.0, 1.0], "right": joints[1:]}

    assert list(pose_shards(job, two_hands)) == [(1, 4), (1, 4)]
    assert not list(pose_shards(job, two_hands))  # finished ones are kept
    poses = load_poses(tmp_path)
    assert len(poses) == 8 and len(np.unique(poses.clip)) == 2
    np.testing.assert_allclose(poses.joints_cam[:4], joints, atol=1e-6)
    assert load_poses(tmp_path / "none") is None


def test_the_tracker_model_errs_as_the_tracker_does(made_up):
    """Made-up landmarks are exact and the guess is flat by 0.4: the model must say both of poses it never saw."""
    training, _, test = split(made_up)
    said = TrackerModel(training, 0)(test.joints_cam, test.clip, np.random.default_rng(0), 2)
    assert len(said) > 1.8 * len(test) and said.is_right.all()
    true_rays = said.joints_cam / said.joints_cam[..., 2:]
    size = np.ptp(true_rays[..., :2], axis=1).max(axis=-1)
    landmark = np.linalg.norm(said.rays_cam - true_rays, axis=-1).mean(axis=1) / size
    assert np.median(landmark) < 0.05
    depth = np.abs(said.world_landmarks_m - said.world_landmarks_m[:, :1])[..., 2].mean()
    true_depth = np.abs(said.joints_cam - said.joints_cam[:, :1])[..., 2].mean()
    assert 0.25 < depth / true_depth < 0.55  # control: an unbiased tracker would give 1


def test_simulated_sightings_teach_what_hands_at_work_are_like(made_up):
    """Hands a quarter larger and further look just the same: only the poses of hands at work can tell."""
    training, _, test = split(made_up)
    simulated = Simulated.of(training, TruePoses(1.25 * training.joints_cam, training.clip), 0)
    alone = Candidate("alone", width=64, hidden=2, epochs=60, uses_world=False)
    taught = replace(alone, name="taught", at_work=0.8, resampled=0.05)
    ratio = [
        errors(lift_samples(train(training, c, 0, simulated=simulated), test), 1.25 * test.joints_cam).depth_ratio
        for c in (alone, taught)
    ]
    assert 0.75 < ratio[0] < 0.85  # control: rendered views alone know the smaller hands
    assert 0.9 < ratio[1] < 1.05
    with pytest.raises(BadInput, match="--of poses"):
        train(training, taught, 0)


def test_bad_job_and_candidate_are_refused(tmp_path):
    with pytest.raises(BadInput, match="count"):
        RenderJob(tmp_path, seed=0, count=0)
    with pytest.raises(BadInput, match="seed"):
        RenderJob(tmp_path, seed=-1, count=1)
    with pytest.raises(BadInput, match="Candidate"):
        Candidate("x", members=0)
    with pytest.raises(BadInput, match="shares"):
        Candidate("x", at_work=0.7, resampled=0.3)
