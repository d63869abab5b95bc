"""What the captioner sees: projected pixels against truth, colours, the moving camera, the ablation without a path."""

import numpy as np
import pytest
from captioning_makers import SEGMENT, TIME, black, rigid_hand

from vitra_lib.captioning import overlay_frames, palm_world
from vitra_lib.captioning.overlay import path_px, time_colours, uniform_indices
from vitra_lib.core.paths import sample_folder
from vitra_lib.geometry.transforms import invert
from vitra_lib.tabletop.clip import TabletopClip
from vitra_lib.video import VideoReader


def test_path_is_projected_into_each_frames_own_camera() -> None:
    reconstruction = rigid_hand([0.15, -0.05, 0.1])
    palm = palm_world(reconstruction, "right")
    K = reconstruction.camera.K_px
    for index in (0, 9, 17):
        expected = []
        for point in palm[index:]:
            x, y, z = (invert(reconstruction.camera.T_world_cam[index]) @ np.append(point, 1.0))[:3]
            expected.append((K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]))
        assert np.allclose(path_px(reconstruction, SEGMENT, index), expected, atol=1e-9)
    # Control: with the camera of frame 0 for every frame the path lands elsewhere.
    frozen = rigid_hand([0.15, -0.05, 0.1], moving_camera=False)
    assert np.abs(path_px(reconstruction, SEGMENT, 17) - path_px(frozen, SEGMENT, 17)).max() > 5


def test_palm_is_the_mean_of_six_joints() -> None:
    reconstruction = rigid_hand([0.1, 0.0, 0.0])
    joints = reconstruction.joints_world("right")
    expected = (joints[:, 0] + joints[:, 2] + joints[:, 5] + joints[:, 9] + joints[:, 13] + joints[:, 17]) / 6
    assert np.allclose(palm_world(reconstruction, "right"), expected)
    assert np.abs(palm_world(reconstruction, "right") - joints.mean(axis=1)).max() > 1e-3  # control: not of all 21


def test_drawing_covers_the_path_and_runs_from_blue_to_red() -> None:
    first = overlay_frames(rigid_hand([0.2, 0.0, 0.0]), SEGMENT, black)[0]
    for x, y in first.path_px:
        assert first.image[int(round(y)), int(round(x))].max() > 100
    x, y = first.path_px[0]
    assert first.image[int(round(y)), int(round(x))].argmax() == 2  # blue dot: now
    x, y = first.path_px[-1]
    assert first.image[int(round(y)), int(round(x))].argmax() == 0  # red: the end
    assert first.image.sum() < 0.2 * first.image.size * 255  # control: the rest of the picture is untouched


def test_smaller_pictures_carry_the_same_path() -> None:
    reconstruction = rigid_hand([0.2, 0.0, 0.0])
    whole = overlay_frames(reconstruction, SEGMENT, black)[3].path_px
    half = overlay_frames(reconstruction, SEGMENT, lambda i: [image[::2, ::2].copy() for image in black(i)])[3].path_px
    assert np.allclose((half + 0.5) * 2 - 0.5, whole)
    assert np.abs(half * 2 - whole).max() > 0.4  # control: pixel centres, not corners


def test_colours_and_frame_choice() -> None:
    colours = time_colours(5).astype(int)
    assert colours[[0, 2, 4]].tolist() == [[0, 0, 255], [0, 255, 0], [255, 0, 0]]
    assert uniform_indices(10, 40) == [10, 14, 18, 22, 27, 31, 35, 39]
    assert uniform_indices(3, 6) == [3, 4, 5]
    assert len(overlay_frames(rigid_hand([0.2, 0, 0]), SEGMENT, black)) == 8


def test_invalid_frames_break_the_path_but_not_the_drawing() -> None:
    reconstruction = rigid_hand([0.2, 0.0, 0.0])
    reconstruction.right.joints_cam[5:9] = np.nan
    frames = overlay_frames(reconstruction, SEGMENT, black)
    assert np.isnan(frames[0].path_px[5:9]).all() and np.isfinite(frames[0].path_px[9:]).all()


def test_without_path_the_pictures_are_the_videos_own() -> None:
    frames = overlay_frames(rigid_hand([0.2, 0.0, 0.0]), SEGMENT, black, has_path=False)
    assert all(not frame.image.any() and not frame.has_path for frame in frames)
    assert len(frames[0].path_px) == TIME


def test_the_dot_lies_on_the_true_palm_of_the_rendered_hand() -> None:
    """On the sample clip: the middle of the blue dot, measured in the drawn picture, is the projected true palm."""
    clip = TabletopClip.load(sample_folder())
    segment = max((s for s in clip.segments if s.valid_fraction == 1.0), key=lambda s: s.path_m)
    with VideoReader(sample_folder() / clip.truth.video_name) as reader:

        def images(indices: list[int]) -> list[np.ndarray]:
            return [frame.image for frame in reader.at(indices)]

        drawn = overlay_frames(clip.truth, segment, images)
        plain = overlay_frames(clip.truth, segment, images, has_path=False)
    K, palms = clip.truth.camera.K_px, palm_world(clip.truth, segment.side)
    for now, before in zip(drawn, plain, strict=True):
        x, y, z = (clip.truth.camera.T_cam_world[now.index] @ np.append(palms[now.index], 1.0))[:3]
        expected = np.array([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]])
        is_blue = (now.image.astype(int) == [0, 0, 255]).all(axis=2) & (now.image != before.image).any(axis=2)
        centre = np.argwhere(is_blue)[:, ::-1].mean(axis=0)
        assert np.linalg.norm(centre - expected) < 2.0, now.index
    other = "left" if segment.side == "right" else "right"
    if clip.truth.hand(other).is_valid[segment.start]:  # control: the other hand's palm is far away
        x, y, z = (
            clip.truth.camera.T_cam_world[segment.start] @ np.append(palm_world(clip.truth, other)[segment.start], 1)
        )[:3]
        assert (
            np.hypot(
                K[0, 0] * x / z + K[0, 2] - drawn[0].path_px[0, 0], K[1, 1] * y / z + K[1, 2] - drawn[0].path_px[0, 1]
            )
            > 40
        )


@pytest.mark.parametrize("length", [1, 2, 5])
def test_short_segments_give_fewer_pictures(length: int) -> None:
    from dataclasses import replace

    frames = overlay_frames(rigid_hand([0.2, 0, 0]), replace(SEGMENT, stop=length), black)
    assert [len(frame.path_px) for frame in frames] == list(range(length, 0, -1))
