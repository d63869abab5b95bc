"""Camera paths, depth and intrinsics of other tools, from files in their own formats whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from backend_files import (
    COUNT,
    HEIGHT,
    WIDTH,
    K,
    Truth,
    colmap,
    droid,
    info,
    megasam,
    quaternion_rows,
    truth,
    tum,
    vipe,
)

from vitra_lib.core.errors import BadInput, MissingAsset, UnknownName, UnsafePickle
from vitra_lib.geometry.cameras_fisheye import Fisheye
from vitra_lib.geometry.cameras_fisheye624 import Fisheye624
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.geometry.cameras_omnidirectional import Omnidirectional
from vitra_lib.geometry.transforms import invert
from vitra_lib.reconstruction.backends import BACKENDS, ReconstructConfig, backend, names, parse
from vitra_lib.reconstruction.backends.given import GivenCamera
from vitra_lib.reconstruction.backends.intrinsics import as_json, read_lens, read_lens_and_target, read_pinhole

ARIA = [1220.0, 1440.0, 1436.0, -0.03, 0.1, -0.07, 0.01, 0.002, -0.0003, 1e-4, -1e-4, 2e-4, -3e-5, 1e-4, 2e-5]


@pytest.fixture(scope="module")
def scene() -> Truth:
    return truth()


def read(tool: str, path: Path, frame_count: int = COUNT) -> GivenCamera:
    return backend("camera", tool).load()(path, info(frame_count))


def check_path(given: GivenCamera, scene: Truth, atol: float = 2e-6) -> None:
    """The path is the true one, and its inverse is not."""
    T = given.track(COUNT, Pinhole(K, WIDTH, HEIGHT)).T_world_cam
    np.testing.assert_allclose(T, invert(scene.T_world_cam[0]) @ scene.T_world_cam, atol=atol)
    control = invert(invert(scene.T_world_cam)[0]) @ invert(scene.T_world_cam)
    assert np.abs(T - control).max() > 0.05, "control: world-to-camera read as camera-to-world is far off"


def test_megasam(scene: Truth, tmp_path: Path) -> None:
    given = read("megasam", megasam(tmp_path / "clip_sgd_cvd_hr.npz", scene.T_world_cam))
    check_path(given, scene)
    assert given.lens and not given.is_metric and given.depth is not None and not given.depth.is_metric
    np.testing.assert_allclose(given.lens.K_px, K, rtol=1e-5)


def test_vipe(scene: Truth, tmp_path: Path) -> None:
    given = read("vipe", vipe(tmp_path / "out", scene.T_world_cam))
    check_path(given, scene)
    assert given.lens and given.is_metric
    np.testing.assert_allclose(given.lens.K_px, K, rtol=1e-6)


def test_droid_slam(scene: Truth, tmp_path: Path) -> None:
    given = read("droid", droid(tmp_path / "clip", scene.T_world_cam, np.arange(COUNT)))
    check_path(given, scene)
    np.testing.assert_allclose(given.lens.K_px, K, rtol=1e-5)


def test_keyframes_are_interpolated(scene: Truth, tmp_path: Path) -> None:
    keys = np.append(np.arange(0, COUNT - 1, 4), COUNT - 4)
    track = read("droid", droid(tmp_path / "clip", scene.T_world_cam, np.unique(keys))).track(
        COUNT, Pinhole(K, WIDTH, HEIGHT)
    )
    np.testing.assert_allclose(track.T_world_cam[:37], scene.T_world_cam[:37], atol=3e-3)
    held = scene.T_world_cam[np.arange(37) // 4 * 4]
    assert np.abs(held - scene.T_world_cam[:37]).max() > 0.02, "control: holding the last keyframe is ten times worse"
    assert track.is_valid[:37].all() and not track.is_valid[37:].any(), "nothing is known after the last keyframe"


@pytest.mark.parametrize("times", [np.arange(COUNT) / 30, np.arange(COUNT)], ids=["seconds", "frames"])
def test_tum(scene: Truth, tmp_path: Path, times: np.ndarray) -> None:
    check_path(read("tum", tum(tmp_path / "traj.txt", scene.T_world_cam, times)), scene)


def test_colmap(scene: Truth, tmp_path: Path) -> None:
    given = read("colmap", colmap(tmp_path / "sparse", scene.T_world_cam))
    check_path(given, scene)
    np.testing.assert_allclose(given.lens.K_px, K, atol=1e-6)


def test_another_video_is_refused(scene: Truth, tmp_path: Path) -> None:
    path = megasam(tmp_path / "a.npz", scene.T_world_cam)
    with pytest.raises(BadInput, match="covers 40 frames, the video has 41"):
        read("megasam", path, COUNT + 1)
    with pytest.raises(BadInput, match="don't come from this video"):
        backend("camera", "megasam").load()(path, info(width=720, height=1280))
    track = read("vipe", vipe(tmp_path / "v", scene.T_world_cam), 30)
    with pytest.raises(BadInput, match="frame 39, the video has 30"):
        track.track(30, Pinhole(K, WIDTH, HEIGHT))
    with pytest.raises(BadInput, match="legal are seconds"):
        read("tum", tum(tmp_path / "t.txt", scene.T_world_cam, np.arange(COUNT) / 30 + 1e9))


def broken(scene: Truth, how: str) -> np.ndarray:
    T = scene.T_world_cam.copy()
    if how == "nan":
        T[7, 0, 3] = np.nan
    elif how == "scaled":
        T[7, :3, :3] *= 1.5
    elif how == "mirror":
        T[:, 0] *= -1
    elif how == "row":
        T[3, 3, 3] = 2.0
    return T


@pytest.mark.parametrize(
    ("how", "message"),
    [("nan", "NaN or infinity"), ("scaled", "row 7 is no rotation"), ("mirror", "a reflection"), ("row", "last row")],
)
def test_what_is_no_pose_is_refused_in_one_sentence(scene: Truth, tmp_path: Path, how: str, message: str) -> None:
    T = broken(scene, how)
    for given in (megasam(tmp_path / "m.npz", T), vipe(tmp_path / "v", T)):
        with pytest.raises(BadInput, match=message) as caught:
            read("megasam" if given.name == "m.npz" else "vipe", given)
        assert "\n" not in str(caught.value)


def test_damaged_files_are_refused(scene: Truth, tmp_path: Path) -> None:
    whole = megasam(tmp_path / "m.npz", scene.T_world_cam)
    (tmp_path / "cut.npz").write_bytes(whole.read_bytes()[:4000])
    (tmp_path / "no.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", poses=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", depths=np.array([{}], object), intrinsic=np.eye(3), cam_c2w=np.eye(4)[None])
    for name, message in (
        ("cut", "whole"),
        ("no", "whole"),
        ("other", "lacks"),
        ("pickled", "whole"),
        ("gone", "no file"),
    ):
        with pytest.raises(BadInput, match=message):
            read("megasam", tmp_path / f"{name}.npz")
    rows = quaternion_rows(scene.T_world_cam)
    (tmp_path / "t.txt").write_text("0 1 2 three 0 0 0 1\n")
    with pytest.raises(BadInput, match="isn't a trajectory"):
        read("tum", tmp_path / "t.txt")
    rows[3, 3:] *= 2
    (tmp_path / "q.txt").write_text("\n".join(" ".join(map(str, (i / 30, *r))) for i, r in enumerate(rows)))
    with pytest.raises(BadInput, match="quaternion of row 3"):
        read("tum", tmp_path / "q.txt")
    with pytest.raises(BadInput, match="only PINHOLE"):
        read("vipe", vipe(tmp_path / "pano", scene.T_world_cam, "MEI"))


CENTRE = np.array([[0, 0, 640], [0, 0, 360], [0, 0, 0]])
PLAIN = {"fx": 900, "fy": 901, "cx": 640, "cy": 360, "width": 1280, "height": 720}


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_plain_intrinsics(tmp_path: Path) -> None:
    lens = read_pinhole(write(tmp_path / "k.json", PLAIN), info())
    np.testing.assert_allclose(lens.K_px, [[900, 0, 640], [0, 901, 360], [0, 0, 1]])
    assert as_json(lens) == PLAIN
    half = read_pinhole(tmp_path / "k.json", info(width=640, height=360))
    np.testing.assert_allclose(half.K_px[:, 2], [319.75, 179.75, 1])  # corners stay, so centres move by a quarter pixel
    np.save(tmp_path / "k.npy", K)
    np.testing.assert_allclose(read_pinhole(tmp_path / "k.npy", info()).K_px, K)


def test_intrinsics_of_the_sensor_turn_with_a_phone_video(tmp_path: Path) -> None:
    path = write(tmp_path / "k.json", PLAIN | {"cx": 600, "cy": 350})
    lens = read_pinhole(path, info(width=720, height=1280, rotation=90))
    np.testing.assert_allclose(lens.K_px, [[901, 0, 369], [0, 900, 600], [0, 0, 1]])
    with pytest.raises(BadInput, match="1280 x 720 pixels, the video shows 720 x 1280"):
        read_pinhole(path, info(width=720, height=1280))


def test_fisheye_and_omnidirectional_json(tmp_path: Path) -> None:
    fisheye = read_lens(write(tmp_path / "f.json", PLAIN | {"model": "fisheye", "distortion": [0.1, 0, 0, 0]}), info())
    assert isinstance(fisheye, Fisheye) and fisheye.distortion[0] == 0.1
    mei = PLAIN | {"model": "omnidirectional", "distortion": [0.1, 0, 0, 0], "xi": 0.8}
    assert isinstance(read_lens(write(tmp_path / "o.json", mei), info()), Omnidirectional)
    with pytest.raises(BadInput, match="vitra undistort"):
        read_pinhole(tmp_path / "f.json", info())


def ego4d(path: Path, xi: float = 1.2) -> Path:
    content = {
        "intrinsics_ori": {"K": K * [[2], [2], [1]] - CENTRE, "D": np.zeros((1, 4)), "xi": np.array([xi])},
        "intrinsics_new": {"K": K},
    }  # fmt: skip
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def test_ego4d(tmp_path: Path) -> None:
    lens, target = read_lens_and_target(ego4d(tmp_path / "e.npy"), info())
    assert isinstance(lens, Omnidirectional) and lens.xi == 1.2 and target is not None
    np.testing.assert_allclose(target.K_px, K)
    straight, _ = read_lens_and_target(ego4d(tmp_path / "s.npy", -1.0), info())
    assert isinstance(straight, Pinhole), "xi <= 0: the video is used as it is"
    with pytest.raises(BadInput, match="far from the middle"):
        read_lens(tmp_path / "e.npy", info(width=640, height=480))


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    np.save(tmp_path / "evil.npy", np.array({"intrinsics_ori": Evil()}, dtype=object), allow_pickle=True)
    with pytest.raises(UnsafePickle):
        read_lens(tmp_path / "evil.npy", info())
    assert not (tmp_path / "ran").exists()


def aria(path: Path, label: str = "camera-rgb", params: list | None = None) -> Path:
    projection = {"Name": "FisheyeRadTanThinPrism", "Params": params or ARIA}
    pose = {"Translation": [0, 0, 0], "UnitQuaternion": [1, [0, 0, 0]]}
    cameras = [{"Label": label, "Calibrated": True, "Projection": projection, "T_Device_Camera": pose}]
    return write(path, {"CameraCalibrations": cameras, "ImuCalibrations": []})


def test_aria(tmp_path: Path) -> None:
    lens, target = read_lens_and_target(aria(tmp_path / "a.json"), info(width=1408, height=1408))
    assert isinstance(lens, Fisheye624) and target is not None
    # 32 pixels are cut off every side of the 2880 x 2880 sensor, then two become one.
    np.testing.assert_allclose(lens.K_px[:2, 2], [(1440 - 32 + 0.5) / 2 - 0.5, (1436 - 32 + 0.5) / 2 - 0.5])
    assert lens.K_px[0, 0] == 610 and target.K_px[0, 0] == pytest.approx(412.5)
    with pytest.raises(BadInput, match="no camera 'camera-rgb', only camera-slam-left"):
        read_lens(aria(tmp_path / "b.json", "camera-slam-left"), info(width=1408, height=1408))
    with pytest.raises(BadInput, match="1280 x 720"):
        read_lens(tmp_path / "a.json", info())
    with pytest.raises(BadInput, match="shape"):
        read_lens(aria(tmp_path / "c.json", params=ARIA[:12]), info(width=1408, height=1408))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": float("nan")}, "NaN"),
        ({"fx": 9}, "focal length fx"),
        ({"fx": 900000}, "focal length fx"),
        ({"cx": 9000}, "principal point"),
        ({"width": 640}, "640 x 720 pixels, the video shows 1280 x 720"),
        ({"model": "ftheta"}, "unknown"),
        ({"model": "fisheye"}, "distortion"),
        ({"fx": "wide"}, "numbers"),
        ({"fx": None}, "NaN|numbers"),
    ],
)
def test_wrong_intrinsics_are_refused_in_one_sentence(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        read_lens(write(tmp_path / "k.json", PLAIN | change), info())
    assert "\n" not in str(caught.value)


def test_files_that_are_no_intrinsics_are_refused(tmp_path: Path) -> None:
    for name, content in (("a.json", b"{"), ("b.json", b"[1]"), ("c.npy", b"x"), ("d.txt", b"900"), ("e.npy", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInput):
            read_lens(tmp_path / name, info())
    with pytest.raises(BadInput, match="no file"):
        read_lens(tmp_path / "gone.json", info())
    np.save(tmp_path / "wrong.npy", np.eye(4))
    with pytest.raises(BadInput, match="shape"):
        read_lens(tmp_path / "wrong.npy", info())


def test_droidcalib(scene: Truth, tmp_path: Path) -> None:
    log = (
        "################################\nInitial intrinsics:\nfx = 1000.0, fy = 1000.0, ppx = 640.0, ppy = 360.0\n"
        "Estimated intrinsics:\nfx = 900.00, fy = 901.00, ppx = 641.00, ppy = 359.00{}\n"
    )
    load = backend("intrinsics", "droidcalib").load()
    (tmp_path / "log.txt").write_text(log.format(""))
    np.testing.assert_allclose(load(tmp_path / "log.txt", info()).K_px, [[900, 0, 641], [0, 901, 359], [0, 0, 1]])
    (tmp_path / "mei.txt").write_text(log.format(", xi = 0.250"))
    lens = load(tmp_path / "mei.txt", info())
    assert isinstance(lens, Omnidirectional) and lens.xi == 0.25 and not lens.distortion.any()
    folder = droid(tmp_path / "run", scene.T_world_cam, np.arange(5), xi=0.4)
    assert load(folder, info()).xi == pytest.approx(0.4)
    (tmp_path / "no.txt").write_text("Traceback")
    (tmp_path / "nan.txt").write_text(log.format("").replace("900.00", "nan"))
    for name in ("no.txt", "nan.txt"):
        with pytest.raises(BadInput):
            load(tmp_path / name, info())


def test_anycalib(tmp_path: Path) -> None:
    load = backend("intrinsics", "anycalib").load()
    entry = {"cam_id": "pinhole", "intrinsics": [900, 900, 640, 360], "width": 1280, "height": 720}
    np.testing.assert_allclose(load(write(tmp_path / "p.json", entry), info()).K_px, K)
    several = [entry, entry | {"intrinsics": [904, 904, 640, 360]}, entry | {"intrinsics": [2000, 2000, 640, 360]}]
    assert load(write(tmp_path / "l.json", several), info()).K_px[0, 0] == 904
    kb = entry | {"cam_id": "simple_kb:4", "intrinsics": [900, 640, 360, 0.1, 0.2, 0, 0]}
    assert isinstance(load(write(tmp_path / "k.json", kb), info()), Fisheye)
    for wrong in ({"cam_id": "eucm"}, {"intrinsics": [1, 2]}, {"width": None}):
        with pytest.raises(BadInput):
            load(write(tmp_path / "w.json", entry | wrong), info())


def moge(path: Path, depth: float = 0.8, **more) -> Path:
    value = np.full((36, 64), depth, np.float32)
    mask = np.ones((36, 64), bool)
    mask[:4] = False
    value[:4] = np.inf
    K_normal = np.array([[900 / 1280, 0, 0.5], [0, 900 / 720, 0.5], [0, 0, 1]], np.float32)
    np.savez(
        path,
        **({"points": np.zeros((36, 64, 3), np.float32), "depth": value, "mask": mask, "intrinsics": K_normal} | more),
    )
    return path


def test_moge(tmp_path: Path) -> None:
    for i in (0, 10, 20):
        moge(tmp_path / f"{i:05d}.npz", 0.5 + i / 100)
    lens = backend("intrinsics", "moge").load()(tmp_path, info())
    assert lens.K_px[0, 0] == pytest.approx(900)
    depth = backend("depth", "moge").load()(tmp_path, info())
    assert depth.frames == (0, 10, 20)
    found = depth.at(10, np.zeros((1, 1, 3), np.uint8))
    assert found is not None and np.isnan(found[:4]).all() and np.allclose(found[4:], 0.6)
    assert depth.at(11, np.zeros((1, 1, 3), np.uint8)) is None
    (tmp_path / "cli" / "00000").mkdir(parents=True)
    write(tmp_path / "cli" / "00000" / "fov.json", {"fov_x": 70.0, "fov_y": 43.0})
    lens = backend("intrinsics", "moge").load()(tmp_path / "cli", info())
    assert lens.K_px[0, 0] == pytest.approx(640 / np.tan(np.deg2rad(35)))


def test_wrong_moge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has 5 frames"):
        backend("depth", "moge").load()(moge(tmp_path / "00009.npz"), info(5))
    with pytest.raises(BadInput, match="normalised"):
        backend("intrinsics", "moge").load()(moge(tmp_path / "1.npz", intrinsics=K), info())
    with pytest.raises(BadInput, match="no frame number"):
        backend("depth", "moge").load()(moge(tmp_path / "frame.npz"), info())
    with pytest.raises(BadInput, match="nothing of MoGe-2"):
        backend("depth", "moge").load()(tmp_path / "gone", info())


def test_names_and_files_of_the_command_line() -> None:
    assert parse("hands", "mediapipe") == ("mediapipe", None)
    assert parse("camera", "megasam=/a/b.npz") == ("megasam", Path("/a/b.npz"))
    assert parse("intrinsics", "k.json") == ("file", Path("k.json"))
    assert parse("intrinsics", "moge=out") == ("moge", Path("out"))
    for role, text in (("hands", "hawor"), ("camera", "klt=x"), ("depth", "depth-pro"), ("intrinsics", "anycalib")):
        with pytest.raises(BadInput):
            parse(role, text)
    for role in ("hands", "camera", "depth"):
        with pytest.raises(UnknownName, match=names(role)[0]):
            parse(role, "orbslam=x")
    config = ReconstructConfig(camera="tum", camera_file=Path("out/{video}.txt"))
    assert config.for_video(Path("v/clip 1.mp4")).camera_file == Path("out/clip 1.txt")


def test_every_reader_exists_and_every_card_too() -> None:
    from vitra_lib.core import assets

    for found in BACKENDS:
        assert bool(found.reader) == (found.input != "none")
        if found.reader:
            assert callable(found.load())
        if found.card:
            assert assets.card(found.card).title


def test_a_missing_depth_model_is_explained(tmp_path: Path) -> None:
    for name, card in (("depth-pro", "depth_pro"), ("depth-anything", "depth_anything")):
        with pytest.raises(MissingAsset, match=f"vitra assets explain {card}"):
            backend("depth", name).load()(tmp_path, info())
