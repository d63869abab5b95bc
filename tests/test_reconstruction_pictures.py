"""Skin, side-by-side video and 3-D view show what the tracks say, where they say it."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from reconstruction_motions import K_PX, hand_motion, moving_camera

from vitra_lib.contracts import HandTrack, Reconstruction
from vitra_lib.core.errors import BadInput
from vitra_lib.geometry.cameras import project
from vitra_lib.plotting import world_view
from vitra_lib.reconstruction.overlay_video import draw_skin
from vitra_lib.reconstruction.side_by_side import WorldFromAbove, write_side_by_side
from vitra_lib.video import VideoReader, VideoWriter
from vitra_lib.video.overlay import SIDE_COLOURS
from vitra_lib.video.overlay_mesh import draw_mesh

GREY = np.full((480, 640, 3), 90, np.uint8)


def clip(time: int = 6) -> Reconstruction:
    times, right = hand_motion(0, time)
    left = HandTrack.absent("left", time)
    return Reconstruction("clip.mp4", "", 30.0, np.arange(time), times, moving_camera(times), left, right)


def sphere(centre: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    trimesh = pytest.importorskip("trimesh")
    mesh = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    return np.asarray(mesh.vertices) + centre, np.asarray(mesh.faces)


def test_a_sphere_is_a_disc_of_the_right_size_in_the_colour_of_its_hand():
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    vertices, faces = sphere(np.array([0.0, 0.0, 1.0]), 0.1)
    drawn = draw_mesh(GREY, vertices, faces, K, "right", alpha=1.0)
    changed = (drawn != GREY).any(axis=2)
    radius = 500 * 0.1 / np.sqrt(1 - 0.01)
    assert changed.sum() == pytest.approx(np.pi * radius**2, rel=0.03)
    np.testing.assert_allclose(np.argwhere(changed).mean(axis=0), [240, 320], atol=0.6)
    blue = drawn[240, 320].astype(int)
    assert blue[2] > blue[0] + 60 and draw_mesh(GREY, vertices, faces, K, "left", 1.0)[240, 320, 0] > 150
    edge = drawn[240, 320 + 46].astype(int)
    assert edge[2] < blue[2] - 30, "the light comes from the camera"
    np.testing.assert_array_equal(draw_mesh(GREY, vertices - [0, 0, 2.0], faces, K, "right"), GREY)  # behind
    np.testing.assert_array_equal(draw_mesh(GREY, vertices, faces[:, ::-1], K, "right")[240, 320] != 90, True)


def test_the_nearer_of_two_surfaces_is_seen_whatever_their_order():
    K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])
    near, faces = sphere(np.array([0.0, 0.0, 0.8]), 0.05)
    far, _ = sphere(np.array([0.0, 0.0, 1.2]), 0.2)
    alone = draw_mesh(GREY, near, faces, K, "right", 1.0)[240, 320]
    for order in ((near, far), (far, near)):
        both = draw_mesh(GREY, np.concatenate(order), np.concatenate([faces, faces + len(near)]), K, "right", 1.0)
        np.testing.assert_array_equal(both[240, 320], alone)


def test_the_skin_lies_around_the_joints():
    r = clip()
    drawn = draw_skin(r, 2, GREY)
    changed = cv2.dilate((drawn != GREY).any(axis=2).astype(np.uint8), np.ones((9, 9)))
    uv = project(K_PX, r.right.joints_cam[2]).round().astype(int)
    inside = [(0 <= u < 640) and (0 <= v < 480) for u, v in uv]
    hits = [bool(changed[v, u]) for (u, v), ok in zip(uv, inside, strict=True) if ok]
    assert sum(inside) > 10 and np.mean(hits) > 0.9
    absent = replace(r, right=HandTrack.absent("right", len(r)))
    np.testing.assert_array_equal(draw_skin(absent, 2, GREY), GREY)
    with pytest.raises(BadInput, match="fitted with"):
        draw_skin(replace(r, right=replace(r.right, hand_model="mano")), 2, GREY)


def test_the_map_shows_wrist_and_camera_at_their_places():
    r = clip(30)
    world = WorldFromAbove(r, 320, 240)
    image = world.draw(29)
    wrist = world.place(r.t_world_wrist("right")[29:30])[0].round().astype(int)
    assert np.abs(image[wrist[1], wrist[0]].astype(int) - SIDE_COLOURS["right"]).max() < 12
    a, b = world.place(np.array([[0.0, 0.0, 0.0], [0.0, 5.0, 0.1]]))
    assert b[1] < a[1] and b[0] == a[0], "forward is up, and height does not show"
    everything = world.place(np.concatenate([r.t_world_wrist("right"), r.camera.T_world_cam[:, :3, 3]]))
    assert (everything > 0).all() and (everything < [320, 240]).all()


def test_the_video_has_three_panels_and_all_frames(tmp_path):
    r = clip(5)
    with VideoWriter(tmp_path / "clip.mp4", 30, 640, 480) as writer:
        for _ in range(5):
            writer.write(GREY)
    write_side_by_side(r, tmp_path / "clip.mp4", tmp_path / "out.mp4")
    with VideoReader(tmp_path / "out.mp4") as reader:
        frames = [frame.image for frame in reader.frames()]
    assert len(frames) == 5 and frames[0].shape == (360, 3 * 480, 3)
    left, middle, right = (frames[2][40:, k * 480 : (k + 1) * 480].astype(int) for k in range(3))
    assert np.abs(left - 90).max() < 15, "control: the input as it is"
    assert np.abs(middle - 90).max() > 60 and right.mean() > 200


def test_the_3d_view_holds_paths_frusta_and_hands_and_stays_small():
    r = clip(900)
    view = world_view(r, frusta=7, hands=3)
    names = [trace.name for trace in view.figure.data]
    assert names == ["camera", "camera frusta", "right wrist", "right hand"]
    frusta = view.figure.data[1]
    apexes = sum(x is None for x in frusta.x)
    assert apexes == 7
    bundle = view._repr_mimebundle_()
    assert len(json.dumps(bundle)) < 80_000 and "text/html" not in bundle
    wrist = view.figure.data[2]
    first = r.t_world_wrist("right")[0]
    np.testing.assert_allclose([wrist.x[0], wrist.y[0], wrist.z[0]], first, atol=1e-3)
    with pytest.raises(BadInput):
        world_view(replace(r, camera=replace(r.camera, is_valid=np.zeros(900, bool))))
    with pytest.raises(BadInput):
        world_view(r, frusta=-1)
