"""Whole samples: the same alone and in a batch, labels that follow the image, errors with the sample's name."""

from dataclasses import replace

import numpy as np
import pytest
from dataset_samples_makers import labels_at, make_episode, official_episode, official_numbers

from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.dataset import (
    AugmentationConfig,
    EpisodeArrays,
    SampleConfig,
    ViewConfig,
    draw,
    draw_many,
    make_label_batch,
    make_sample,
    sample_rng,
)
from vitra_lib.dataset.draws import N_DRAWS, PLACE
from vitra_lib.geometry.cameras import project
from vitra_lib.hands.skeleton import PALM_JOINTS

STILL = SampleConfig(augmentation=AugmentationConfig(colour=None))
VARIED = SampleConfig(augmentation=AugmentationConfig())


@pytest.fixture(scope="module")
def episode():
    return make_episode()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def test_draws_are_by_counter_and_by_row():
    many = draw_many(7, 3, np.array([0, 5, 2**40]))
    for row, index in zip(many, (0, 5, 2**40), strict=True):
        assert np.array_equal(row, draw(sample_rng(7, 3, index)))
    other = draw_many(7, 4, np.array([0]))
    assert not np.array_equal(many[0], other[0]) and not np.array_equal(many[0], many[1])
    assert np.array_equal(draw(np.random.RandomState(3)), np.random.RandomState(3).random_sample(N_DRAWS))
    flat = draw_many(0, 0, np.arange(4000))
    assert np.abs(flat.mean(0) - 0.5).max() < 0.02 and abs(np.corrcoef(flat[:-1, 0], flat[1:, 0])[0, 1]) < 0.05


@pytest.mark.parametrize(
    "config",
    [
        SampleConfig(),
        VARIED,
        replace(VARIED, action_type="keypoints", rel_mode="anchor", past=2, state_dropout=0.3),
        replace(VARIED, use_rel=True, upsample_factor=2.0),
        replace(VARIED, official_quirks=True),
    ],
    ids=["plain", "augmented", "keypoints", "changes", "official"],
)
def test_a_batch_is_its_samples_one_by_one(config, image):
    episodes = [make_episode(0), make_episode(2), make_episode(0, seed=1)]
    arrays = EpisodeArrays.of(*episodes)
    arrays = replace(arrays, size_px=np.tile([96.0, 64.0], (3, 1)))
    rng = np.random.default_rng(1)
    which, frame = rng.integers(0, 3, 12), rng.integers(0, 25, 12)
    batch = make_label_batch(arrays, which, frame, draw_many(4, 1, np.arange(12)), config)
    for i in range(12):
        shown = image if i < 2 else None
        sample = make_sample(episodes[which[i]], int(frame[i]), shown, config, sample_rng(4, 1, i))
        for name in ("action", "action_mask", "state", "state_mask", "fov_rad"):
            assert np.array_equal(getattr(sample, name), getattr(batch, name)[i]), name
        assert sample.instruction == batch.instruction[i] and sample.name == batch.name[i]
        assert sample.frame == frame[i] and np.allclose(sample.K_px, batch.K_px[i], atol=1e-12)
    if config.augmentation:
        other = make_label_batch(arrays, which, frame, draw_many(4, 2, np.arange(12)), config)
        assert not np.array_equal(other.state, batch.state)  # control: another epoch


def test_official_sample(shared_data):
    episode, goldens = official_episode(shared_data), official_numbers(shared_data)
    image = np.zeros((368, 480, 3), np.uint8)
    sample = make_sample(episode, 0, image, SampleConfig(), sample_rng(0, 0, 0))
    assert np.allclose(sample.K_px, goldens["frame0"]["intrinsics"], atol=1e-6)
    assert np.allclose(sample.fov_rad, goldens["frame0"]["fov"], atol=1e-6)
    assert sample.action_mask.sum() == 816 and sample.state_mask.sum() == 51 and sample.image is image
    assert sample.action.shape == (16, 192) and sample.state.shape == (212,)
    assert sample.action.dtype == sample.state.dtype == np.float32
    assert sample.instruction.startswith("Left hand: None. Right hand: ")
    assert np.allclose(sample.action[:, 51:102], goldens["frame0"]["action_right"], atol=1e-6)


def test_a_projected_joint_stays_on_its_pixel(shared_data):
    """A dot painted on the wrist is found, in the image of the virtual camera, where the new label says."""
    episode = official_episode(shared_data)
    y, x = np.mgrid[:368, :480]
    offsets, unmoved = [], []
    for index in range(40):
        frame = index % 20
        place = project(episode.K_for(480, 368), episode.t_cam_wrist("right")[frame]) - 0.5
        dot = 255 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 30)
        image = np.repeat(dot[..., None], 3, axis=2).astype(np.uint8)
        sample = make_sample(episode, frame, image, STILL, sample_rng(0, 0, index))
        hand = 0 if sample.state_mask[0] else 51  # the other hand is never seen, so a flip shows in the mask
        label = project(sample.K_px, sample.state[hand : hand + 3].astype(float)) - 0.5
        seen = sample.image[..., 0].astype(float)
        if not (10 < label).all() or not (label < np.array(seen.shape[::-1]) - 10).all():
            continue  # a view must hold the palm, and may cut the wrist off
        grid = np.mgrid[: seen.shape[0], : seen.shape[1]]
        found = np.array([(seen * grid[1]).sum(), (seen * grid[0]).sum()]) / seen.sum()
        offsets.append(np.linalg.norm(found - label))
        unmoved.append(np.linalg.norm(found - place))
    assert len(offsets) > 20 and max(offsets) < 0.3, max(offsets)  # 0.6 px is what is asked for
    assert np.median(unmoved) > 20  # control: the label of the source image


def test_the_palm_stays_in_view_until_the_end(shared_data):
    """More of the palm's way is kept than by the official sampler, and far more than by another sample's view."""
    episode = official_episode(shared_data)
    arrays, count = EpisodeArrays.of(episode), 300
    u, frame, first = draw_many(1, 0, np.arange(count)), np.arange(count) % 25, np.zeros(count, int)
    palm = episode.right.joints_world[:, list(PALM_JOINTS)].mean(1)

    def kept(config: SampleConfig, shift: int) -> float:
        views = make_label_batch(arrays, first, frame, u, config).views
        shares = []
        for i in range(count):
            way = palm[frame[i] :] @ episode.T_cam_world[frame[i], :3, :3].T + episode.T_cam_world[frame[i], :3, 3]
            was, seen = project(arrays.K[0], way), project(views.K[i - shift], way @ views.R_view_cam[i - shift].T)
            shown = ((was > 0) & (was < 1)).all(1)
            shares += ((seen > 0) & (seen < 1)).all(1)[shown].tolist()
        return float(np.mean(shares))

    ours = kept(STILL, 0)
    assert ours > 0.94, ours
    assert kept(replace(STILL, augmentation=replace(STILL.augmentation, view=ViewConfig(official_roll=True))), 0) < ours
    assert kept(STILL, 7) < ours - 0.08  # control


def test_the_share_of_flips_and_of_hidden_states(episode):
    u = draw_many(2, 0, np.arange(3000))
    config = replace(STILL, state_dropout=0.1)
    batch = labels_at(episode, [7] * 3000, config, u)
    assert abs(batch.views.is_flipped.mean() - 0.5) < 0.03
    hidden = ~batch.state_mask.any(1)
    assert abs(hidden.mean() - 0.1) < 0.02 and not batch.state[hidden].any() and not batch.raw_state[hidden].any()
    assert np.array_equal(hidden, u[:, PLACE["state_dropout"]] < 0.1)
    assert batch.action_mask[hidden].any()  # the steps still count


def test_a_flipped_sample_has_changed_sides(episode):
    never, always = (
        replace(STILL, augmentation=AugmentationConfig(view=ViewConfig(flip_probability=p))) for p in (0.0, 1.0)
    )
    u = draw_many(0, 0, np.arange(5))
    plain, flipped = (labels_at(episode, [12] * 5, config, u) for config in (never, always))
    assert (plain.raw_state_mask == [False, True]).all() and (flipped.raw_state_mask == [True, False]).all()
    assert np.array_equal(plain.raw_action[..., 57:102], flipped.raw_action[..., 6:51])
    assert np.allclose(plain.raw_action[..., 51:54] * [-1, 1, 1], flipped.raw_action[..., :3], atol=1e-12)
    assert np.array_equal(plain.raw_state[:, -10:], flipped.raw_state[:, 51:61])
    for one, other in zip(plain.instruction, flipped.instruction, strict=True):
        assert one.split("Right hand: ")[1] in other.split(" Right hand: ")[0]
    assert np.array_equal(plain.fov_rad, flipped.fov_rad)


def test_images_have_the_drawn_size_and_inputs_stay(episode, image):
    before = image.copy()
    for index in range(6):
        sample = make_sample(episode, 3, image, replace(VARIED, image_height_px=50), sample_rng(0, 0, index))
        height, width = sample.image.shape[:2]
        assert height == 50 and 50 <= width <= 100 and sample.image.dtype == np.uint8
        focal = sample.K_px[[0, 1], [0, 1]]
        assert np.allclose(sample.fov_rad, 2 * np.arctan(np.array([width, height]) / 2 / focal), atol=1e-6)
    assert np.array_equal(image, before)
    again = make_sample(episode, 3, image, replace(VARIED, image_height_px=50), sample_rng(0, 0, 5))
    assert np.array_equal(again.image, sample.image)  # the same draws, the same bytes


def test_an_augmentation_that_fails_names_its_sample(episode, image):
    broken = replace(episode, K_px=np.diag([np.nan, 1.0, 1.0]))
    with np.errstate(invalid="ignore"), pytest.raises(BadInput, match=f"{episode.name}, frame 4"):
        make_sample(broken, 4, image, VARIED, sample_rng(0, 0, 0))
    upside_down = replace(episode, K_px=episode.K_px * [[-1, 1, 1], [1, 1, 1], [1, 1, 1]])
    with pytest.raises(BadInput, match=f"{episode.name}, frame 4"):
        make_sample(upside_down, 4, None, VARIED, sample_rng(0, 0, 0))
    with pytest.raises(BadInput, match=f"{episode.name}, frame 4"):
        make_sample(episode, 4, np.zeros((0, 0, 3), np.uint8), VARIED, sample_rng(0, 0, 0))


def test_a_hand_that_is_never_known_leaves_the_view_free(episode):
    right = replace(episode.right, is_valid=np.zeros(25, bool), joints_world=np.full((25, 21, 3), np.nan))
    batch = labels_at(replace(episode, right=right), [3] * 20, STILL, draw_many(0, 0, np.arange(20)))
    assert np.isfinite(batch.views.K).all() and not batch.raw_action_mask[..., 1][~batch.views.is_flipped].any()


def test_bad_settings_are_one_sentence(episode):
    with pytest.raises(BadInput, match="image_height_px"):
        SampleConfig(image_height_px=0)
    with pytest.raises(BadInput, match="state_dropout is 2"):
        SampleConfig(state_dropout=2.0)
    with pytest.raises(BadInput, match="none_probability"):
        AugmentationConfig(none_probability=-1.0)
    with pytest.raises(UnknownName, match="linear, lanczos"):
        AugmentationConfig(resampling="nearest")
    with pytest.raises(BadInput, match="give one or more|There is no episode"):
        EpisodeArrays.of()
    with pytest.raises(BadInput, match="16 uniform numbers, not 5"):
        labels_at(episode, [0], SampleConfig(), np.zeros((1, 5)))
