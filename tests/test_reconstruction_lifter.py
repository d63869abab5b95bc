"""The lifter: geometry of its ray frame, symmetry, and figures on held-out renders against two controls."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.evaluation.hands import rank_correlation
from vitra_lib.reconstruction.identity import HandDetections
from vitra_lib.reconstruction.lifter import (
    LEAST_APART_M,
    WEIGHTS_PATH,
    Lifter,
    decode,
    encode,
    encode_truth,
    read_record,
)
from vitra_lib.reconstruction.lifter_data import SHARD_FIELDS, as_right_hands
from vitra_lib.reconstruction.lifter_scores import errors, lift_samples, naive_lift

HELD_OUT = Path(__file__).parent / "data" / "lifter_held_out.npz"
K = np.array([[400.0, 0.0, 320.0], [0.0, 410.0, 240.0], [0.0, 0.0, 1.0]])


@pytest.fixture(scope="module")
def samples():
    """Detections on rendered clips of a seed that training never saw, with the truth."""
    with np.load(HELD_OUT) as archive:
        arrays = {name: archive[name] for name in SHARD_FIELDS if name != "time_s"}
        return as_right_hands(arrays | {"time_s": np.full(len(arrays["clip"]), np.nan)})


@pytest.fixture(scope="module")
def lifter():
    return Lifter.load()


def detections_of(samples, side="right", K_px=K) -> HandDetections:
    points = samples.rays_cam * ([1, 1, 1] if side == "right" else [-1, 1, 1])
    px = points @ K_px.T
    world = samples.world_landmarks_m * ([1, 1, 1] if side == "right" else [-1, 1, 1])
    return HandDetections(side, px[..., :2] / px[..., 2:], world, samples.score, np.ones(len(samples), bool))


def test_decode_inverts_encode_truth(samples):
    _, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    np.testing.assert_allclose(decode(encode_truth(samples.joints_cam, frame), frame), samples.joints_cam, atol=1e-12)


def test_ray_frame_is_a_rotation_that_looks_at_the_palm(samples):
    _, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    R = frame.R_ray_cam
    np.testing.assert_allclose(R @ np.swapaxes(R, 1, 2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1.0)
    palm = samples.rays_cam[:, [0, 5, 9, 13, 17]]
    palm = (palm / np.linalg.norm(palm, axis=-1, keepdims=True)).mean(axis=1)
    np.testing.assert_allclose(np.einsum("nij,nj->ni", R, palm)[:, :2], 0.0, atol=1e-12)


def test_turning_the_camera_about_its_centre_turns_the_lifted_hand(samples, lifter):
    """A pan or tilt changes where a hand is in the image, not what is lifted (roll is seen on purpose)."""
    turn = Rotation.from_euler("y", 25, degrees=True).as_matrix()
    plain = lift_samples(lifter, samples)
    # turn every ray to the image centre first: from there a pan leaves the roll of the ray frame alone
    centred, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    rays = samples.rays_cam @ turn.T
    turned, turned_frame = encode(rays / rays[..., 2:], samples.world_landmarks_m, samples.score)
    np.testing.assert_allclose(turned[:, 42], centred[:, 42], atol=1e-9)  # size, without unit
    change = np.abs(turned[:, :42] - centred[:, :42]).max(axis=1)
    assert np.median(change) < 0.2
    lifted = decode(lifter.predict(turned)[0], turned_frame) @ turn
    moved = np.linalg.norm(lifted - plain, axis=-1).mean(axis=1)
    away = np.linalg.norm(decode(lifter.predict(turned)[0], turned_frame) - plain, axis=-1).mean(axis=1)
    assert np.median(moved) < 0.2 * np.median(away)  # control: without turning back it's far off


def test_focal_length_and_image_size_scale_together(samples, lifter):
    small = lifter.lift(detections_of(samples), K)
    twice = np.diag([2.0, 2.0, 1.0]) @ K
    large = lifter.lift(detections_of(samples, K_px=twice), twice)
    np.testing.assert_allclose(large.joints_cam, small.joints_cam, atol=1e-9)
    # control: pixels twice as large under the same focal length are a hand twice as near
    wrong = lifter.lift(detections_of(samples, K_px=twice), K)
    assert np.nanmedian(wrong.joints_cam[:, 0, 2] / small.joints_cam[:, 0, 2]) < 0.7


def test_mirrored_hand_gives_the_mirrored_lift_exactly(samples, lifter):
    centred = K.copy()
    centred[0, 2] = 0.0  # then pixels mirror without rounding
    right = lifter.lift(detections_of(samples, "right", centred), centred)
    seen = detections_of(samples, "right", centred)
    mirrored = HandDetections(
        "left", seen.keypoints_px * [-1.0, 1.0], seen.world_landmarks_m * [-1.0, 1.0, 1.0], seen.score, seen.is_detected
    )
    left = lifter.lift(mirrored, centred)
    np.testing.assert_array_equal(left.joints_cam, right.joints_cam * [-1.0, 1.0, 1.0])
    np.testing.assert_array_equal(left.sigma_m, right.sigma_m)
    np.testing.assert_array_equal(left.error_m, right.error_m)


def test_beats_both_controls_on_held_out_renders(samples, lifter):
    record = read_record()
    lifted = errors(lift_samples(lifter, samples), samples.joints_cam)
    naive = errors(naive_lift(samples, samples.joints_cam), samples.joints_cam)
    constant = record["errors"]["control: constant mean pose"]["test"]
    assert lifted.wrist_cm < 6.0
    assert lifted.rotation_deg < 18.0
    assert lifted.wrist_cm < 0.7 * naive.wrist_cm
    assert lifted.rotation_deg < 0.5 * naive.rotation_deg
    assert lifted.relative_mm < 0.6 * naive.relative_mm
    assert lifted.rotation_deg < 0.5 * constant["rotation_deg"]
    # control: landmarks of other hands
    shuffled = samples.take(np.roll(np.arange(len(samples)), len(samples) // 2))
    other = errors(lift_samples(lifter, shuffled), samples.joints_cam)
    assert other.rotation_deg > 2 * lifted.rotation_deg


def test_predicted_errors_tell_good_from_bad(samples, lifter):
    features, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    targets, spread = lifter.predict(features)
    lifted = decode(targets, frame)
    wrist = np.linalg.norm(lifted[:, 0] - samples.joints_cam[:, 0], axis=1) / np.linalg.norm(lifted[:, 0], axis=1)
    shape = (lifted - lifted[:, :1]) - (samples.joints_cam - samples.joints_cam[:, :1])
    for sigma, actual in ((spread[:, 0], wrist), (spread[:, 1] * 0.1, np.linalg.norm(shape, axis=-1)[:, 1:].mean(1))):
        trusted = sigma < np.median(sigma)
        assert actual[trusted].mean() < 0.85 * actual[~trusted].mean()
        assert 0.3 < np.median(actual) / np.median(sigma) < 3.0
        reversed_sigma = np.sort(sigma)[::-1][np.argsort(np.argsort(sigma))]  # control: doubt turned upside down
        trusted = reversed_sigma < np.median(reversed_sigma)
        assert actual[trusted].mean() > actual[~trusted].mean()


def test_the_expected_error_is_the_typical_one_and_falls_with_agreement(samples, lifter):
    features, frame = encode(samples.rays_cam, samples.world_landmarks_m, samples.score)
    joints, wrist_m, doubts = lifter.doubts(features, frame)
    targets, spread = lifter.predict(features)
    np.testing.assert_allclose(joints, decode(targets, frame), atol=1e-12)
    np.testing.assert_allclose(wrist_m, spread[:, 0] * np.linalg.norm(joints[:, 0], axis=-1))
    expected = lifter.expected_error_m(doubts)
    actual = np.linalg.norm(joints - samples.joints_cam, axis=-1).mean(axis=1)
    assert 0.7 < np.median(actual / expected) < 1.4
    assert rank_correlation(expected, actual) > 0.25
    assert rank_correlation(expected, np.roll(actual, len(actual) // 2)) < 0.2  # control: errors of other hands
    alone = Lifter(lifter.layers[:1], lifter.mean, lifter.std, lifter.target_mean, lifter.target_std)
    plain, _, own = alone.doubts(features, frame)
    np.testing.assert_allclose(own[:, 1], np.log(LEAST_APART_M))  # one member has nobody to disagree with
    np.testing.assert_allclose(alone.expected_error_m(own), np.exp(own[:, 0]))


def test_undetected_frames_stay_invalid(samples, lifter):
    seen = detections_of(samples)
    gone = seen.is_detected.copy()
    gone[::2] = False
    px = seen.keypoints_px.copy()
    px[::2] = np.nan
    px[1] = 100.0  # all landmarks in one point
    lifted = lifter.lift(HandDetections("right", px, seen.world_landmarks_m, seen.score, gone), K)
    assert not lifted.is_valid[::2].any() and not lifted.is_valid[1]
    assert lifted.is_valid[3::2].all()
    assert np.isnan(lifted.joints_cam[~lifted.is_valid]).all()
    assert np.isinf(lifted.sigma_m[~lifted.is_valid]).all()
    assert np.isinf(lifted.error_m[~lifted.is_valid]).all()
    none = lifter.lift(HandDetections("left", px, seen.world_landmarks_m, seen.score, np.zeros(len(px), bool)), K)
    assert not none.is_valid.any()


def test_weights_are_small_and_come_with_their_record():
    assert WEIGHTS_PATH.stat().st_size < 2_000_000
    record = json.loads(WEIGHTS_PATH.with_suffix(".json").read_text())
    assert record["chosen"] in record["errors"]
    assert {"command", "seed", "samples", "packages", "candidate"} <= set(record)
    deciding = [name for name in record["samples"] if name.startswith("validation")]
    scores = {name: np.mean([row[d]["camera_mm"] for d in deciding]) for name, row in record["errors"].items()}
    assert scores[record["chosen"]] == min(scores.values())


def test_bad_weights_and_bad_intrinsics_are_refused(tmp_path, samples, lifter):
    with pytest.raises(MissingAsset, match="vitra lifter train"):
        Lifter.load(tmp_path / "no.npz")
    wrong = tmp_path / "wrong.npz"
    np.savez(wrong, a=np.zeros(3))
    with pytest.raises(BadInput, match="lifter weights"):
        Lifter.load(wrong)
    with pytest.raises(BadInput, match="focal"):
        lifter.lift(detections_of(samples), np.diag([0.0, 1.0, 1.0]))
