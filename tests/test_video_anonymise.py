"""Faces are covered, gaps between sightings too; what is covered is gone; what is no face stays as it is."""

import json

import cv2
import numpy as np
import pytest

from vitra_lib.cli.main import main
from vitra_lib.core.errors import BadInput, MissingAsset
from vitra_lib.video import VideoReader, VideoWriter, probe
from vitra_lib.video import faces as faces_module
from vitra_lib.video.anonymise import BLOCKS, AnonymiseConfig, anonymise_frames, anonymise_video, cover_faces
from vitra_lib.video.faces import FaceConfig, FaceSighting, find_faces, link_faces


def face(x: float, y: float, size: float = 40.0) -> FaceSighting:
    return FaceSighting(np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2]), 0.9)


def noise(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_what_is_covered_cannot_be_told_from_its_coarse_means():
    """Two pictures whose region has the same block means come out the same, byte for byte: nothing else is left."""
    image = noise(0, 101, 101)
    box = np.array([20.0, 20.0, 80.0, 80.0])  # with margin 0: ellipse in rows and columns 20 to 80
    region = np.s_[20:81, 20:81]
    means = cv2.resize(image[region], (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    other = image.copy()
    other[region] = cv2.resize(means, (61, 61), interpolation=cv2.INTER_NEAREST)
    covered = [cover_faces(i, [FaceSighting(box, 1.0)], margin=0.0) for i in (image, other)]
    y, x = np.mgrid[:101, :101]
    inside = ((x - 50) / 30) ** 2 + ((y - 50) / 30) ** 2 <= 1
    difference = np.abs(covered[0].astype(int) - covered[1])[inside]
    assert difference.max() <= 8  # the other picture's own means are rounded, and its blocks straddle pixels
    assert np.abs(image.astype(int) - other)[inside].mean() > 50, "control: the pictures differ"
    np.testing.assert_array_equal(covered[0][~inside], image[~inside])
    assert covered[0][inside].std() < 0.35 * image[inside].std()


def test_without_a_face_the_very_image_comes_back_and_at_the_border_nothing_breaks():
    image = noise(1)
    assert cover_faces(image, []) is image
    for box in ([-500, -500, -400, -400], [-10, -10, 10, 10], [150, 110, 400, 400], [0, 0, 160, 120]):
        assert cover_faces(image, [FaceSighting(np.array(box, float), 1.0)]).shape == image.shape
    np.testing.assert_array_equal(noise(1), image)


def test_a_missed_frame_between_two_hits_is_covered_and_a_long_absence_is_not():
    times = np.arange(60) / 30
    found = [()] * 60
    found[10], found[16] = (face(50, 60),), (face(80, 60, 50),)
    found[55] = (face(300, 60),)
    linked = link_faces(found, times, max_gap_s=1.0, hold_s=0.1)
    assert [len(f) for f in linked[7:20]] == [1] * 13 and not linked[6] and not linked[20]
    middle = linked[13][0].box_px
    np.testing.assert_allclose(middle, [65 - 25, 35, 65 + 25, 85])  # half way, as large as the larger one
    assert not any(linked[22:50]), "nothing joins the two people"
    alone = link_faces(found, times, max_gap_s=0.1, hold_s=0.0)
    assert [i for i, f in enumerate(alone) if f] == [10, 16, 55], "control: without filling"


def test_two_people_who_cross_are_both_covered_all_the_time():
    times = np.arange(31) / 30
    found = [(face(20 + 4 * i, 40), face(140 - 4 * i, 44)) if i % 3 == 0 else () for i in range(31)]
    for i, linked in enumerate(link_faces(found, times)):
        for x, y in ((20 + 4 * i, 40), (140 - 4 * i, 44)):
            assert any(abs(f.box_px[::2].mean() - x) < 10 and abs(f.box_px[1::2].mean() - y) < 10 for f in linked)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_boxes_of_turned_pictures_come_back_upright(turns):
    image = np.zeros((90, 160), np.uint8)
    image[20:40, 100:130] = 1
    rows, columns = np.nonzero(np.rot90(image, turns))
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
    np.testing.assert_allclose(faces_module._turn_back(box, turns, 160, 90), [100, 20, 130, 40])


def test_tiles_cover_every_pixel():
    for width, height in ((640, 480), (480, 640), (1000, 300), (200, 200)):
        seen = np.zeros((height, width), bool)
        for x, y, side in faces_module._tiles(width, height, 2 / 3):
            assert x >= 0 and y >= 0 and x + side <= width and y + side <= height
            seen[y : y + side, x : x + side] = True
        assert seen.all()


def stills(shared_data, repository, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    table = json.loads((repository / "benchmarks" / "face_stills.json").read_text("utf-8"))["faces"]
    known = [(name, np.array(box)) for name, box in table.items() if box is not None]
    chosen = known[:: len(known) // count][:count]
    return [(cv2.imread(str(shared_data / name))[:, :, ::-1].copy(), box) for name, box in chosen]


def test_real_faces_are_covered_and_are_gone(shared_data, repository):
    pairs = stills(shared_data, repository, 6)
    images, count = anonymise_frames([image for image, _ in pairs])
    assert count >= 6
    for (image, box), covered in zip(pairs, images, strict=True):
        height, width = image.shape[:2]
        x, y, w, h = (box * (width, height, width, height)).round().astype(int)
        assert (covered != image).any(axis=2)[y : y + h, x : x + w].mean() > 0.8
        again = [s for s in find_faces(covered) if abs(s.box_px[::2].mean() - (x + w / 2)) < w / 2]
        assert not again, "the detector itself must not find a face there any more"


def test_rooms_and_hands_stay_as_they_are(shared_data):
    paths = [*sorted((shared_data / "scannet_pairs_gt").glob("*.jpg"))[:2], shared_data / "hamer_demo_images/test4.jpg"]
    images = [cv2.imread(str(path))[:, :, ::-1].copy() for path in paths]
    covered, count = anonymise_frames(images)
    assert count == 0 and all(a is b for a, b in zip(images, covered, strict=True))


def test_a_video_keeps_its_frames_and_loses_its_faces(shared_data, repository, tmp_path, capsys):
    image, box = stills(shared_data, repository, 3)[1]
    small = cv2.resize(image, (192, 256), interpolation=cv2.INTER_AREA)
    blank = np.full_like(small, 128)
    with VideoWriter(tmp_path / "in.mp4", 10, 192, 256) as writer:
        for i in range(8):
            writer.write(blank if i == 4 else small)  # as if the detector missed the fifth frame
    target = tmp_path / "out.mp4"
    assert main(["anonymise", str(tmp_path / "in.mp4"), "--out", str(target)]) == 0
    assert "8 of 8 frames" in capsys.readouterr().out
    assert probe(target).frame_count == 8
    with VideoReader(target) as reader:
        frames = [frame.image for frame in reader.frames()]
    assert not any(find_faces(frame) for frame in frames)
    assert find_faces(small), "control: the input had one"


def test_bad_settings_and_a_missing_detector_are_refused(monkeypatch, tmp_path):
    for wrong in ({"margin": -1.0}, {"max_gap_s": float("nan")}, {"hold_s": -1.0}):
        with pytest.raises(BadInput):
            AnonymiseConfig(**wrong)
    with pytest.raises(BadInput):
        FaceConfig(min_score=0.0)
    with pytest.raises(BadInput, match="as many times"):
        anonymise_frames([noise(0)], [0.0, 1.0])
    import sys

    monkeypatch.setitem(sys.modules, "mediapipe.python.solutions.face_detection", None)
    monkeypatch.delattr(faces_module._local, "detector", raising=False)
    with VideoWriter(tmp_path / "in.mp4", 10, 64, 64) as writer:
        writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(MissingAsset, match="face detector"):
        anonymise_video(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists(), "no detector, no video"
