"""Pictures of the synthetic world agree with its truth; files are resumable and refuse what does not fit."""

import json

import cv2
import numpy as np
import pytest

from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.geometry.cameras import project
from vitra_lib.hands.model import load_hand_model
from vitra_lib.hands.posed import pose_hand
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.tabletop.config import ClipConfig
from vitra_lib.tabletop.generate import generate_clip
from vitra_lib.tabletop.rendering import clip_configs, clip_folder, render_batch, render_one
from vitra_lib.tabletop.staging import (
    FIRST_OBJECT_ID,
    LEFT_HAND_ID,
    LEFT_SLEEVE_ID,
    RIGHT_HAND_ID,
    RIGHT_SLEEVE_ID,
    Stage,
    instance_ids,
)

SMALL = ClipConfig(seed=102, hands="both", width_px=160, height_px=120, duration_s=10.0, antialias=False)
FRAMES = (0, 75, 150, 225, 290)


@pytest.fixture(scope="module")
def clip() -> TabletopClip:
    return generate_clip(SMALL)


@pytest.fixture(scope="module")
def drawn(clip):
    stage = Stage.of(clip)
    return {i: stage.render(i) for i in FRAMES}


def _hit_rate(clip: TabletopClip, drawn, shift: int) -> float:
    """Share of joints inside the image that fall on their own hand or sleeve (grown by 3 px), or on what hides them."""
    hits = total = 0
    for i, picture in drawn.items():
        for side, ids in zip(SIDES, ((LEFT_HAND_ID, LEFT_SLEEVE_ID), (RIGHT_HAND_ID, RIGHT_SLEEVE_ID)), strict=True):
            joints = clip.truth.hand(side).joints_cam[(i + shift) % len(clip)]
            if np.isnan(joints).any():
                continue
            mask = np.isin(picture.instance_id, ids).astype(np.uint8)
            mask = cv2.dilate(mask, np.ones((7, 7), np.uint8)).astype(bool)
            uv = np.rint(project(clip.truth.camera.K_px, joints)).astype(int)
            inside = (uv >= 0).all(axis=1) & (uv < [160, 120]).all(axis=1)
            u, v = uv[inside].T
            # A joint behind a nearer surface is hidden: it says nothing about the hand's mask.
            is_hidden = picture.depth_m[v, u] < joints[inside, 2] - 0.03
            hits += int(mask[v, u][~is_hidden].sum())
            total += int((~is_hidden).sum())
    return hits / total


def test_truth_joints_fall_on_the_drawn_hand(clip, drawn):
    assert _hit_rate(clip, drawn, 0) > 0.9
    assert _hit_rate(clip, drawn, 40) < 0.7  # control: joints of another frame


def _skin_errors(clip: TabletopClip, drawn, shift: int) -> np.ndarray:
    """Depth of skin vertices (of the frame `shift` later) minus drawn depth, where their own hand is drawn [m]."""
    model, errors = load_hand_model("standin", None, True), []
    for i, picture in drawn.items():
        for hand in clip.hands:
            track = clip.truth.hand(hand.side)
            j = (i + shift) % len(clip)
            at = slice(j, j + 1)
            pose = (track.R_cam_wrist[at], track.t_cam_wrist[at], track.R_parent_joint[at], track.betas)
            V, _ = pose_hand(model, hand.side, *pose, R_wrist_forearm=hand.R_wrist_forearm[at])
            V = V[0][V[0][:, 2] > 0.1]
            uv = np.rint(project(clip.truth.camera.K_px, V)).astype(int)
            inside = (uv >= 0).all(axis=1) & (uv < [160, 120]).all(axis=1)
            (u, v), z = uv[inside].T, V[inside, 2]
            own = picture.instance_id[v, u] == (LEFT_HAND_ID if hand.side == "left" else RIGHT_HAND_ID)
            errors.append(z[own] - picture.depth_m[v, u][own])
    return np.concatenate(errors)


def test_depth_is_the_depth_of_the_drawn_skin(clip, drawn):
    errors = _skin_errors(clip, drawn, 0)
    assert np.quantile(errors, 0.05) > -0.01  # no skin in front of what is drawn, but for a pixel's slant
    assert np.median(np.abs(errors)) < 0.03
    assert np.quantile(_skin_errors(clip, drawn, 40), 0.05) < -0.02  # control: skin of another frame


def test_frames_are_textured_and_show_objects(clip, drawn):
    names = instance_ids(clip)
    for picture in drawn.values():
        corners = cv2.goodFeaturesToTrack(cv2.cvtColor(picture.image, cv2.COLOR_RGB2GRAY), 300, 0.01, 3)
        assert corners is not None and len(corners) > 60  # what odometry lives on
        assert set(np.unique(picture.instance_id)) - {0} <= set(names)
        assert (np.unique(picture.instance_id) >= FIRST_OBJECT_ID).sum() >= 3


def test_drawing_is_deterministic_also_after_loading(clip, drawn, tmp_path):
    clip.save(tmp_path)
    again = TabletopClip.load(tmp_path).render_frame(FRAMES[1])
    np.testing.assert_array_equal(again.image, drawn[FRAMES[1]].image)
    assert (again.image != drawn[FRAMES[2]].image).any()


def test_batch_is_resumable_and_refuses_other_settings(tmp_path):
    first = ClipConfig(seed=5, hands="right", duration_s=2.0, fps=5.0, width_px=96, height_px=64, antialias=False)
    configs = clip_configs(first, 2, "any")
    assert [c.seed for c in configs] == [5, 6] and configs[0].hands != configs[1].hands
    folders = render_batch(configs, tmp_path)
    assert folders == [clip_folder(tmp_path, c) for c in configs]
    before = {f: f.stat().st_mtime_ns for folder in folders for f in folder.iterdir()}
    assert {f.name for f in before} == {"video.mp4", "truth.npz", "truth.json"}
    assert render_batch(configs, tmp_path) == folders
    assert before == {f: f.stat().st_mtime_ns for folder in folders for f in folder.iterdir()}
    with pytest.raises(BadInput, match="other settings"):
        render_batch(clip_configs(ClipConfig(**{**first.as_dict(), "camera": "static"}), 1, "right"), tmp_path)
    assert not [f for f in tmp_path.iterdir() if f.name.startswith(".")]
    loaded = TabletopClip.load(folders[0])
    assert loaded.truth.video_name == "video.mp4" and len(loaded.truth.video_sha256) == 64 and len(loaded) == 10


def test_a_foreign_folder_in_the_way_is_refused(tmp_path):
    config = ClipConfig(seed=5, hands="right", duration_s=2.0, fps=5.0, width_px=96, height_px=64)
    clip_folder(tmp_path, config).mkdir()
    with pytest.raises(BadInput, match="no finished clip"):
        render_one(config, tmp_path)
    with pytest.raises(VitraError):
        render_batch([config], tmp_path / "new", workers=0)
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(VitraError):
        render_batch([config], tmp_path / "file" / "sub")
