"""The synthetic world keeps its word: truth is consistent, physical, deterministic and complete."""

import itertools

import numpy as np
import pytest

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput, UnknownName
from vitra_lib.geometry.cameras import project
from vitra_lib.geometry.rotations import geodesic_angle
from vitra_lib.geometry.transforms import apply, invert
from vitra_lib.hands.grasps import within_limits
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand
from vitra_lib.tabletop import catalog
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.config import SPLITS, ClipConfig
from vitra_lib.tabletop.generate import generate_clip, visible_enough
from vitra_lib.tabletop.layout import mirror_pose, sample_scene
from vitra_lib.tabletop.meshes import object_mesh
from vitra_lib.tabletop.motion import minimum_jerk
from vitra_lib.tabletop.solids import Solid

SIZE = {"width_px": 160, "height_px": 120}


@pytest.fixture(scope="module")
def clips() -> dict[str, TabletopClip]:
    """One clip per choice of hands."""
    return {
        hands: generate_clip(ClipConfig(seed=seed, hands=hands, **SIZE))
        for seed, hands in ((100, "right"), (104, "left"), (102, "both"))
    }


def _bytes(clip: TabletopClip, folder) -> bytes:
    folder.mkdir()
    clip.save(folder)
    return (folder / "truth.npz").read_bytes() + (folder / "truth.json").read_bytes()


def test_same_seed_same_bytes_other_seed_other_bytes(clips, tmp_path):
    config = clips["both"].config
    first = _bytes(clips["both"], tmp_path / "a")
    assert first == _bytes(generate_clip(config), tmp_path / "b")
    other = generate_clip(ClipConfig(**{**config.as_dict(), "seed": 103}))
    assert first != _bytes(other, tmp_path / "c")


def test_save_and_load_round_trip(clips, tmp_path):
    for hands, clip in clips.items():
        (tmp_path / hands).mkdir()
        clip.save(tmp_path / hands)
        back = TabletopClip.load(tmp_path / hands)
        assert back.config == clip.config and back.captions == clip.captions and back.skills == clip.skills
        assert back.objects.names == clip.objects.names
        for side in SIDES:
            for name in ("R_cam_wrist", "t_cam_wrist", "R_parent_joint", "joints_cam", "is_valid"):
                np.testing.assert_array_equal(
                    getattr(back.truth.hand(side), name), getattr(clip.truth.hand(side), name)
                )
        np.testing.assert_array_equal(back.T_world_object, clip.T_world_object)


def test_loading_a_folder_without_a_clip_says_so(tmp_path):
    with pytest.raises(BadInput, match="holds no clip"):
        TabletopClip.load(tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        {"split": "test"},
        {"hands": "none"},
        {"camera": "drone"},
        {"duration_s": 0.5},
        {"width_px": 161},
        {"seed": -1},
        {"fov_min_deg": 110.0},
    ],
)
def test_config_refuses(bad):
    with pytest.raises((BadInput, UnknownName)):
        ClipConfig(**bad)


def test_actions_tile_the_clip_and_captions_follow_the_program(clips):
    for hands, clip in clips.items():
        for side in SIDES:
            own = [(s, c) for s, c in zip(clip.segments, clip.captions, strict=True) if s.side == side]
            assert bool(own) == (hands in (side, "both"))
            if not own:
                continue
            assert own[0][0].start == 0 and own[-1][0].stop == len(clip)
            assert all(a.stop == b.start for (a, _), (b, _) in itertools.pairwise(own))
            assert all(0.5 < (s.stop - s.start) / clip.config.fps < 2.6 for s, _ in own)
        verbs = {
            "reach": "Reach for", "lift": "Pick up", "over": "Move", "pour": "Pour from", "upright": "Tilt",
            "push": "Push", "turn": "Turn", "wipe": "Wipe",
        }  # fmt: skip
        for caption, skill in zip(clip.captions, clip.skills, strict=True):
            assert caption.source == "truth" and not caption.is_weak
            assert caption.is_na == (skill in ("idle", "withdraw")) == (caption.text == "")
            assert caption.text.startswith(verbs.get(skill, ("Move", "Put", "")))
            if caption.text:
                assert caption.text.endswith(".") and any(name in caption.text for name in clip.objects.names)


def test_direction_words_agree_with_the_motion(clips):
    checked = 0
    for seed in (100, 103):
        clip = generate_clip(ClipConfig(seed=seed, hands="right", **SIZE))
        for k in [k for k, s in enumerate(clip.skills) if s in ("push", "wipe")]:
            s = clip.segments[k]
            hand = clip.hands[0].T_table_wrist[:, 0, 3]
            word = "right" if hand[min(s.stop, len(clip) - 1)] > hand[s.start] else "left"
            assert f"to the {word}" in clip.captions[k].text
            checked += 1
    assert checked >= 2


def test_wrist_stands_still_at_boundaries_but_not_elsewhere(clips):
    at, shuffled = [], []
    rng = np.random.default_rng(0)
    for clip in clips.values():
        for hand in clip.hands:
            speed = np.linalg.norm(np.gradient(hand.T_table_wrist[:, :3, 3], axis=0), axis=1) * clip.config.fps
            cuts = np.array([s.start for s in clip.segments if s.side == hand.side][1:])
            at += list(speed[cuts])
            shuffled += list(speed[rng.integers(5, len(clip) - 5, len(cuts))])  # control: boundaries at random frames
            for s in [s for s in clip.segments if s.side == hand.side]:
                assert speed[s.start : s.stop].max() > 3 * speed[s.start + 1 : s.start + 2].max() or s.path_m < 0.03
    assert max(at) < 0.03
    assert np.median(shuffled) > 0.06


def test_minimum_jerk_starts_and_stops_at_rest():
    u = np.linspace(0, 1, 1001)
    s = minimum_jerk(u)
    v = np.gradient(s, u)
    assert s[0] == 0 and s[-1] == 1 and v[0] < 1e-4 and v[-1] < 1e-4
    assert v.max() == pytest.approx(1.875, abs=1e-3)  # the peak of the minimum-jerk bell


def test_held_objects_move_rigidly_with_the_hand_and_others_stay(clips):
    for clip in clips.values():
        tracks = clip.objects
        for hand in clip.hands:
            code = SIDES.index(hand.side)
            relative = invert(hand.T_table_wrist)[:, None] @ tracks.T_table_object
            for k in range(len(tracks.names)):
                for i in np.flatnonzero(np.diff(np.concatenate([[0], tracks.held_by[:, k] == code])) == 1):
                    run = i + np.argmin(np.append(tracks.held_by[i:, k] == code, False))
                    np.testing.assert_allclose(
                        relative[i:run, k], np.broadcast_to(relative[i, k], relative[i:run, k].shape), atol=1e-9
                    )
        free = tracks.held_by[:-1] == -1
        step = np.linalg.norm(np.diff(tracks.T_table_object[..., :3, 3], axis=0), axis=-1)
        # An object at rest stays; where a hold begins or ends between two frames, the hand hardly moves.
        assert step[free & (tracks.held_by[1:] == -1)].max() < 1e-9
        assert step[free].max() < 2e-3
        assert step[~free].max() > 5e-3  # control: held objects do travel


def test_objects_are_upright_on_the_table_and_never_below(clips):
    for clip in clips.values():
        models = {
            i.name: i for i in catalog.allowed(clip.config.split).clutter + catalog.allowed(clip.config.split).instances
        }
        for k, name in enumerate(clip.objects.instances):
            points = Solid.of(models[name]).corners()
            z = apply(clip.objects.T_table_object[:, k], np.broadcast_to(points, (len(clip), *points.shape)))[..., 2]
            assert z.min() > -5e-4
            rest = clip.objects.held_by[:, k] == -1
            np.testing.assert_allclose(clip.objects.T_table_object[rest, k, 2, 2], 1.0, atol=1e-6)
    assert (clips["both"].objects.T_table_object[..., 2, 2].min()) < 0.5  # somebody poured: tilted while held


def test_fingers_stay_above_the_table_and_inside_their_limits(clips):
    for clip in clips.values():
        for hand in clip.hands:
            T = hand.T_table_wrist
            _, joints = pose_hand(
                load_hand_model(), hand.side, T[:, :3, :3], T[:, :3, 3], hand.R_parent_joint, hand.betas
            )
            over = (joints[..., 1] > 0.0).all(axis=1)
            assert joints[over][..., 2].min() > 0.0
            assert within_limits(hand.R_parent_joint, np.deg2rad(8.0))


def test_truth_parameters_reproduce_truth_joints_for_both_hands(clips):
    for side in SIDES:
        track = clips["both"].truth.hand(side)
        R, t = track.R_cam_wrist, track.t_cam_wrist
        _, joints = pose_hand(load_hand_model(), side, R, t, track.R_parent_joint, track.betas)
        seen = track.is_valid
        np.testing.assert_allclose(joints[seen], track.joints_cam[seen], atol=1e-6)
        assert np.isnan(track.joints_cam[~seen]).all()
        wrong = pose_hand(
            load_hand_model(), "left" if side == "right" else "right", R, t, track.R_parent_joint, track.betas
        )[1]
        assert np.abs(wrong[seen] - track.joints_cam[seen]).max() > 0.05  # control: the other side's rule


def test_left_planning_is_the_mirror_of_right_planning():
    T = sample_scene(ClipConfig(seed=3)).things[0].T_table_object
    np.testing.assert_allclose(mirror_pose(mirror_pose(T)), T)
    assert np.linalg.det(mirror_pose(T)[:3, :3]) == pytest.approx(1.0)
    for split in SPLITS:
        for instance in catalog.allowed(split).instances:
            vertices = object_mesh(instance).vertices
            mirrored = vertices * [-1.0, 1.0, 1.0]
            nearest = np.abs(vertices[:, None] - mirrored[None, ::7]).max(axis=-1).min(axis=0)
            assert nearest.max() < 3e-3, instance.name


def test_head_moves_smoothly_and_as_far_as_a_head_does(clips):
    for clip in clips.values():
        T = clip.truth.camera.T_world_cam
        step = np.linalg.norm(np.diff(T[:, :3, 3], axis=0), axis=1)
        assert 0.12 < step.sum() < 0.55
        assert step.max() < 0.008
        assert geodesic_angle(T[:-1, :3, :3], T[1:, :3, :3]).max() < np.deg2rad(2.5)
        np.testing.assert_allclose(T[0], np.eye(4), atol=1e-9)
        eye = clip.T_table_cam[:, :3, 3]
        assert 0.35 < eye[:, 2].min() and eye[:, 2].max() < 0.72 and eye[:, 1].max() < 0.12
        distance = np.concatenate([np.linalg.norm(clip.truth.hand(h.side).t_cam_wrist, axis=1) for h in clip.hands])
        assert 0.25 < np.median(distance) < 0.7


def test_static_camera_does_not_move():
    clip = generate_clip(ClipConfig(seed=1, hands="right", camera="static", duration_s=3.0, **SIZE))
    assert clip.truth.camera.is_static
    np.testing.assert_allclose(clip.truth.camera.T_world_cam, np.broadcast_to(np.eye(4), (90, 4, 4)), atol=1e-12)


def test_visibility_rule(clips):
    clip = clips["right"]
    track, camera = clip.truth.right, clip.truth.camera
    assert clip.is_present[:, 1].all() and not clip.is_present[:, 0].any() and not clip.truth.left.is_valid.any()
    seen = track.joints_cam[track.is_valid]
    uv = project(camera.K_px, seen)
    share = ((uv >= -0.5) & (uv < np.array([159.5, 119.5]))).all(axis=-1).mean(axis=1)
    assert share.min() >= 0.6 and (seen[:, 0, 2] > 0).all()
    away = track.joints_cam[track.is_valid][:1] + [5.0, 0.0, 0.0]
    assert not visible_enough(away, camera.K_px, 160, 120).any()


def test_splits_are_disjoint_where_they_should_be():
    train = catalog.allowed("train")
    held = {split: catalog.allowed(split) for split in SPLITS[1:]}

    def names(items):
        return {i.name for i in items}

    def categories(pool):
        return {i.category for i in pool.instances}

    assert not names(train.instances) & names(held["unseen-object"].instances)
    assert categories(held["unseen-object"]) == categories(train)
    assert not categories(train) & categories(held["unseen-category"])
    for what in ("tables", "grounds", "walls"):
        assert not names(getattr(train, what)) & names(getattr(held["unseen-texture"], what))
        assert getattr(train, what) == getattr(held["unseen-object"], what)
    assert (
        not set(train.patterns) & set(held["unseen-texture"].patterns)
        and train.instances == held["unseen-texture"].instances
    )
    with pytest.raises(UnknownName):
        catalog.allowed("test")


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_gives_clips_with_actions(split):
    clip = generate_clip(ClipConfig(seed=7, split=split, duration_s=6.0, **SIZE))
    pool = catalog.allowed(split)
    legal = {i.name for i in pool.instances + pool.clutter}
    assert set(clip.objects.instances) <= legal
    assert len(set(clip.objects.names)) == len(clip.objects.names)
    assert sum(not c.is_na for c in clip.captions) >= 3
