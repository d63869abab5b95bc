"""A whole reconstruction from files of other tools, on the sample clip whose truth is known."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from backend_files import quaternion_rows
from scipy.spatial.transform import Rotation

from vitra_lib.cli.main import main
from vitra_lib.contracts import Reconstruction
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.core.errors import BadInput, RefusedClip
from vitra_lib.core.paths import sample_folder, sample_video
from vitra_lib.geometry.cameras_lens import Pinhole
from vitra_lib.geometry.transforms import invert
from vitra_lib.reconstruction.backends import ReconstructConfig
from vitra_lib.reconstruction.backends.given import DepthMaps, GivenCamera
from vitra_lib.reconstruction.given_path import metric_given_camera
from vitra_lib.reconstruction.reconstruct import reconstruct
from vitra_lib.reconstruction.store import load_reconstruction
from vitra_lib.tabletop.clip import TabletopClip


@pytest.fixture(scope="module")
def truth() -> Reconstruction:
    return TabletopClip.load(sample_folder()).truth


@pytest.fixture(scope="module")
def files(truth: Reconstruction, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hands as HaMeR would save them, the path as ViPE would, and the intrinsics, all true."""
    folder = tmp_path_factory.mktemp("tools")
    (folder / "hamer").mkdir()
    mirror = np.diag([-1.0, 1, 1])
    camera = truth.camera
    for i in range(len(truth)):
        seen = [hand for hand in (truth.left, truth.right) if hand.is_valid[i]]
        if not seen:
            continue
        R = [h.R_cam_wrist[i] if h.side == "right" else mirror @ h.R_cam_wrist[i] @ mirror for h in seen]
        np.savez(
            folder / "hamer" / f"{i:06d}.npz", right=np.array([float(h.side == "right") for h in seen]),
            global_orient=np.array(R)[:, None], hand_pose=np.array([h.R_parent_joint[i] for h in seen]),
            betas=np.zeros((len(seen), 10)), pred_cam_t_full=np.array([h.t_cam_wrist[i] for h in seen]),
            pred_keypoints_3d=np.zeros((len(seen), 21, 3)), scaled_focal_length=camera.K_px[0, 0],
        )  # fmt: skip
    for name in ("pose", "intrinsics"):
        (folder / "vipe" / name).mkdir(parents=True)
    inds, K = np.arange(len(truth)), camera.K_px
    np.savez(folder / "vipe" / "pose" / "sample.npz", data=camera.T_world_cam, inds=inds)
    values = np.tile([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], (len(truth), 1))
    np.savez(folder / "vipe" / "intrinsics" / "sample.npz", data=values, inds=inds)
    lens = {"fx": K[0, 0], "fy": K[1, 1], "cx": K[0, 2], "cy": K[1, 2]}
    (folder / "k.json").write_text(json.dumps(lens | {"width": camera.width_px, "height": camera.height_px}))
    rows = quaternion_rows(camera.T_world_cam)
    lines = [" ".join(f"{v:.9f}" for v in (t, *row)) for t, row in zip(truth.time_s, rows, strict=True)]
    (folder / "sample.txt").write_text("\n".join(lines))
    return folder


def wrist_errors(ours: Reconstruction, truth: Reconstruction) -> np.ndarray:
    errors = []
    for side in SIDES:
        both = ours.hand(side).is_valid & truth.hand(side).is_valid
        errors.append(np.linalg.norm(ours.t_world_wrist(side) - truth.t_world_wrist(side), axis=1)[both])
    return np.concatenate(errors)


def test_hands_and_camera_of_other_tools(truth: Reconstruction, files: Path) -> None:
    config = ReconstructConfig(
        hands="hamer", hands_file=files / "hamer", camera="vipe", camera_file=files / "vipe" / "pose" / "{video}.npz"
    )
    ours = reconstruct(sample_video(), config)
    np.testing.assert_allclose(ours.camera.K_px, truth.camera.K_px, rtol=1e-6)
    np.testing.assert_allclose(ours.camera.T_world_cam, truth.camera.T_world_cam, atol=1e-6)
    errors = wrist_errors(ours, truth)
    assert np.median(errors) < 0.005 and len(errors) > 100
    assert ours.camera.method == "vipe" and ours.camera.scale_source == "tool" and ours.camera.focal_rel_std == 0
    assert ours.quality["camera_focal_rel_std"] == 0 and ours.quality["orientation_upward"] > 0.3


def test_the_command_takes_them_too(truth: Reconstruction, files: Path, tmp_path: Path) -> None:
    words = ["reconstruct", str(sample_video()), "--out", str(tmp_path / "o"), "--no-overlay"]
    words += ["--hands", f"hamer={files / 'hamer'}", "--camera", f"tum-metric={files}/{{video}}.txt"]
    assert main([*words, "--intrinsics", str(files / "k.json")]) == 0
    ours = load_reconstruction(tmp_path / "o" / "reconstruction.npz")
    assert ours.camera.intrinsics_source == "given" and ours.camera.scale_source == "tool"
    np.testing.assert_allclose(ours.camera.T_world_cam, truth.camera.T_world_cam, atol=1e-6)
    report = json.loads((tmp_path / "o" / "report.json").read_text())
    assert report["quality"]["camera_focal_rel_std"] == 0


def test_a_file_of_another_video_is_one_sentence(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    np.savez(tmp_path / "short.npz", data=np.tile(np.eye(4), (5000, 1, 1)), inds=np.arange(5000))
    words = ["reconstruct", str(sample_video()), "--out", str(tmp_path / "o"), "--hands", f"hamer={files / 'hamer'}"]
    assert main([*words, "--camera", f"vipe={tmp_path / 'short.npz'}"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "frame 4999" in told and not (tmp_path / "o").exists()
    assert main([*words, "--camera", "orbslam=x"]) == 2 and "legal are klt" in capsys.readouterr().err


def test_intrinsics_that_contradict_the_path_are_refused(truth: Reconstruction, files: Path, tmp_path: Path) -> None:
    lens = json.loads((files / "k.json").read_text())
    (tmp_path / "k.json").write_text(json.dumps(lens | {"fx": 2 * lens["fx"], "fy": 2 * lens["fy"]}))
    config = ReconstructConfig(
        hands="hamer", hands_file=files / "hamer", camera="vipe", camera_file=files / "vipe" / "pose" / "sample.npz",
        intrinsics="file", intrinsics_file=tmp_path / "k.json",
    )  # fmt: skip
    with pytest.raises(BadInput, match="one of them is of another video"):
        reconstruct(sample_video(), config)


def test_hands_from_above_are_refused_or_warned_of(truth: Reconstruction, files: Path, tmp_path: Path) -> None:
    turn = np.diag([-1.0, -1, 1])
    for path in (files / "hamer").iterdir():
        content = dict(np.load(path))
        content["global_orient"] = turn @ content["global_orient"]  # a half turn is its own mirror image
        content["pred_cam_t_full"] = content["pred_cam_t_full"] * [-1, -1, 1]
        (tmp_path / "turned").mkdir(exist_ok=True)
        np.savez(tmp_path / "turned" / path.name, **content)
    config = ReconstructConfig(
        hands="hamer", hands_file=tmp_path / "turned", camera="vipe", camera_file=files / "vipe" / "pose" / "sample.npz"
    )
    with pytest.raises(RefusedClip, match="upside down"):
        reconstruct(sample_video(), config)
    warned = reconstruct(sample_video(), replace(config, on_wrong_way_up="warn"))
    assert [r.reason for r in warned.rejections].count("wrong_way_up") == 1
    assert warned.quality["orientation_upward"] < -0.3


def test_the_metre_of_a_path_comes_from_hands_in_its_depth(truth: Reconstruction) -> None:
    unit, camera = 0.4, truth.camera
    T = camera.T_world_cam.copy()
    T[:, :3, 3] /= unit
    z = np.nanmedian(np.stack([truth.left.joints_cam[..., 2], truth.right.joints_cam[..., 2]]), axis=(0, 2))
    maps = np.float32(np.nan_to_num(z, nan=1.0)[:, None, None] / unit * np.ones((1, 30, 40)))
    frames = np.arange(len(truth))
    given = GivenCamera("megasam", frames, T, None, False, DepthMaps(frames, maps, False))
    lens = Pinhole(camera.K_px, camera.width_px, camera.height_px)
    hands = {side: truth.hand(side) for side in SIDES}
    track, _ = metric_given_camera(given, lens, hands, truth.time_s, {})
    scale = np.linalg.norm(track.T_world_cam[:, :3, 3]) / np.linalg.norm(T[:, :3, 3])
    assert scale == pytest.approx(unit, rel=0.15) and track.scale_source == "hands" and 0.09 < track.scale_rel_std < 0.3
    depths = {int(i): np.float64(maps[i]) * unit for i in (0, 30, 60)}
    both, _ = metric_given_camera(given, lens, hands, truth.time_s, depths)
    assert both.scale_source == "hands+depth" and both.scale_rel_std < track.scale_rel_std
    none = {side: replace(truth.hand(side), is_valid=np.zeros(len(truth), bool)) for side in SIDES}
    with pytest.raises(RefusedClip, match="neither hands nor depth"):
        metric_given_camera(given, lens, none, truth.time_s, {})


def test_the_world_of_a_given_path_begins_at_its_first_frame(truth: Reconstruction) -> None:
    T = truth.camera.T_world_cam
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_rotvec([0.3, 1.0, -0.2]).as_matrix()
    moved[:3, 3] = [5, -3, 2]
    given = GivenCamera("vipe", np.arange(3, len(T)), moved @ T[3:], None, True)
    lens = Pinhole(truth.camera.K_px, truth.camera.width_px, truth.camera.height_px)
    track, rejections = metric_given_camera(given, lens, {side: truth.hand(side) for side in SIDES}, truth.time_s, {})
    np.testing.assert_allclose(track.T_world_cam[3:], invert(T[3]) @ T[3:], atol=1e-9)
    assert not track.is_valid[:3].any() and track.is_valid[3:].all()
    assert [(r.reason, r.start, r.stop) for r in rejections] == [("camera_lost", 0, 3)]


def test_hands_that_leave_and_come_back(truth: Reconstruction, files: Path, tmp_path: Path) -> None:
    (tmp_path / "gap").mkdir()
    for path in (files / "hamer").iterdir():
        if not 120 <= int(path.stem) < 160:  # 1.3 s: longer than any gap that is bridged
            (tmp_path / "gap" / path.name).write_bytes(path.read_bytes())
    camera = files / "vipe" / "pose" / "sample.npz"
    ours = reconstruct(
        sample_video(), ReconstructConfig(hands="hamer", hands_file=tmp_path / "gap", camera="vipe", camera_file=camera)
    )
    for side in SIDES:
        there, seen = truth.hand(side).is_valid, ours.hand(side).is_valid
        assert not seen[125:155].any(), "nothing is invented while a hand is away"
        assert seen[:110][there[:110]].mean() > 0.9 and seen[170:][there[170:]].mean() > 0.9
    assert np.median(wrist_errors(ours, truth)) < 0.005
