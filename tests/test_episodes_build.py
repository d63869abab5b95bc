"""Building episodes: which segments become one, whose captions they carry, what is rejected."""

import dataclasses

import numpy as np
import pytest
from episodes_makers import make_caption, make_captions, make_reconstruction

from vitra_lib.core.errors import BadInput
from vitra_lib.episodes import EpisodeConfig, build_episodes


def test_one_episode_per_caption_with_the_other_hands_sentences():
    episodes, rejections = build_episodes(make_reconstruction(), make_captions(), dataset_prefix="Own")
    assert not rejections
    assert [episode.name for episode in episodes] == [f"Own_clip_ep_{n:06d}" for n in range(4)]
    assert [(e.primary_hand, int(e.source_frame[0]), len(e)) for e in episodes] == [
        ("right", 0, 25),
        ("left", 5, 35),
        ("right", 25, 25),
        ("left", 40, 20),
    ]
    first, second, third, _ = episodes
    assert [(c.start, c.stop) for c in first.right.captions] == [(0, 25)]
    assert [(c.text, c.start, c.stop) for c in first.left.captions] == [("Hold the bowl.", 5, 25)]
    assert [(c.start, c.stop) for c in second.right.captions] == [(0, 20), (20, 35)]
    assert [(c.start, c.stop) for c in third.left.captions] == [(0, 15), (15, 25)]
    assert first.left.captions[0].is_weak and first.left.captions[0].source == "motion-only"
    assert first.right.captions[0].rephrasings == ("Pick up the cup.", " Grasp the cup")


def test_instruction_follows_the_frame():
    first = build_episodes(make_reconstruction(), make_captions())[0][0]
    assert first.instruction(4) == "Left hand: None. Right hand: Pick up the cup."
    assert first.instruction(5) == "Left hand: Hold the bowl. Right hand: Pick up the cup."


def test_labels_are_the_reconstructions():
    reconstruction = make_reconstruction()
    episode = build_episodes(reconstruction, make_captions())[0][2]
    window = slice(25, 50)
    assert np.array_equal(episode.T_cam_world, reconstruction.camera.T_cam_world[window])
    assert np.array_equal(episode.right.joints_world, reconstruction.joints_world("right")[window])
    assert np.allclose(episode.t_cam_wrist("right"), reconstruction.right.t_cam_wrist[window], atol=1e-12)
    assert np.allclose(episode.R_cam_wrist("left"), reconstruction.left.R_cam_wrist[window], atol=1e-12)
    assert np.allclose(episode.joints_cam("right"), reconstruction.right.joints_cam[window], atol=1e-12)
    # Control: without the camera's motion the two disagree.
    assert np.abs(episode.right.t_world_wrist - reconstruction.right.t_cam_wrist[window]).max() > 0.01


def _reasons(reconstruction, captions, **config):
    episodes, rejections = build_episodes(reconstruction, captions, EpisodeConfig(**config))
    assert len(episodes) + len(rejections) == len(captions)
    return [rejection.reason for rejection in rejections]


def test_rejections_have_reasons():
    reconstruction = make_reconstruction()
    assert _reasons(reconstruction, (make_caption("right", 0, 20, "", is_na=True),)) == ["caption_na"]
    assert _reasons(reconstruction, (make_caption("right", 0, 4),)) == ["too_short"]
    assert _reasons(reconstruction, (make_caption("left", 8, 16),), min_valid_fraction=0.6) == ["hand_invalid"]
    jump = dataclasses.replace(reconstruction, source_frame=np.arange(60) + (np.arange(60) > 12))
    assert _reasons(jump, (make_caption("right", 0, 25), make_caption("right", 25, 50))) == ["frames_missing"]
    lost = dataclasses.replace(reconstruction.camera, is_valid=np.arange(60) != 3)
    blind = dataclasses.replace(reconstruction, camera=lost)
    assert _reasons(blind, (make_caption("right", 0, 25),)) == ["camera_lost"]
    # Control: the same segments of a whole reconstruction are accepted.
    assert _reasons(reconstruction, (make_caption("right", 0, 25), make_caption("left", 8, 16))) == []


def test_an_na_sentence_of_the_other_hand_is_not_carried():
    captions = (make_caption("right", 0, 25), make_caption("left", 0, 25, "", is_na=True))
    episodes, rejections = build_episodes(make_reconstruction(), captions)
    assert [len(episodes), len(rejections), len(episodes[0].left.captions)] == [1, 1, 0]


def test_a_hand_that_was_never_seen_takes_the_official_convention():
    from vitra_lib.contracts import HandTrack

    reconstruction = dataclasses.replace(make_reconstruction(), left=HandTrack.absent("left", 60))
    episode = build_episodes(reconstruction, (make_caption("right", 0, 25),))[0][0]
    assert np.allclose(episode.R_cam_wrist("left"), np.eye(3), atol=1e-12)
    assert np.allclose(episode.t_cam_wrist("left"), 0, atol=1e-12)
    assert not episode.left.is_valid.any()


def test_wrong_values_are_refused_with_a_sentence():
    with pytest.raises(BadInput, match="must not contain '_'"):
        build_episodes(make_reconstruction(), make_captions(), dataset_prefix="my_data")
    with pytest.raises(BadInput, match="covers frames"):
        build_episodes(make_reconstruction(), (make_caption("right", 50, 61),))
    episode = build_episodes(make_reconstruction(), make_captions())[0][0]
    other = build_episodes(make_reconstruction(), make_captions())[0][1]
    with pytest.raises(BadInput, match="left has 35 frames, source_frame has 25"):
        dataclasses.replace(episode, left=other.left)
    broken = dataclasses.replace(episode.right, t_world_wrist=np.full((25, 3), np.nan))
    with pytest.raises(BadInput, match="not finite"):
        dataclasses.replace(episode, right=broken)


def test_intrinsics_of_the_stored_frame():
    episode = build_episodes(make_reconstruction(), make_captions())[0][0]
    K = episode.K_for(192, 64)
    assert np.allclose([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], [160, 80, 96, 32])
    cropped = dataclasses.replace(episode, crop_px=np.array([24.0, 16.0, 48.0, 32.0]))
    assert np.allclose(cropped.K_for(96, 64), [[160, 0, 48], [0, 160, 32], [0, 0, 1]])
    assert np.allclose(cropped.fov_rad, 2 * np.arctan([24 / 80, 16 / 80]))
