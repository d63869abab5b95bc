"""The doctor finds every planted fault, and nothing in a healthy dataset."""

import json
import shutil

import numpy as np
import pytest
from episodes_faults import official_faults, other_video, store_faults

from vitra_lib.cli import main
from vitra_lib.core.errors import BadInput
from vitra_lib.core.paths import sample_folder
from vitra_lib.episodes import EpisodeStore, ExportConfig, FootageConfig, build_episodes, export_vitra_1m
from vitra_lib.episodes.doctor import DoctorConfig, check_dataset
from vitra_lib.episodes.doctor.finding import MENDS
from vitra_lib.episodes.doctor.kinematics import fit_rest_hand
from vitra_lib.hands.mirror import mirror_rotation
from vitra_lib.tabletop.clip import TabletopClip

FRAMES, SIZE = 270, (128, 96)
STORE, OFFICIAL = store_faults(FRAMES, SIZE), official_faults(FRAMES, SIZE)


@pytest.fixture(scope="module")
def episodes():
    """Two episodes of the sample clip in which the left, then the right hand is the primary one."""
    clip = TabletopClip.load(sample_folder())
    every = build_episodes(clip.truth, clip.captions, dataset_prefix="epic")[0]
    left = next(e for e in every if e.primary_hand == "left" and e.left.is_valid.all() and len(e) > 20)
    right = next(e for e in every if e.name.endswith("000001"))
    return left, right


@pytest.fixture(scope="module")
def store(tmp_path_factory, episodes):
    config = FootageConfig(width_px=SIZE[0], height_px=SIZE[1], gop=30)
    with EpisodeStore.create(tmp_path_factory.mktemp("doctor") / "set", config) as writer:
        writer.add_video(episodes[0].video_name, [sample_folder() / "sample.mp4"], "epic")
        for episode in episodes:
            writer.append(episode)
        return writer.finalize()


@pytest.fixture(scope="module")
def official(tmp_path_factory, store):
    root = tmp_path_factory.mktemp("official") / "out"
    export_vitra_1m(store, root, ExportConfig(prefix="epic"))
    return root / "epic"


def test_a_healthy_dataset_has_no_finding(store, official):
    """The control of all planted faults, and it looked at everything."""
    for root in (store.root, official):
        report = check_dataset(root, config=DoctorConfig(frames_per_video=0))
        assert report.findings == [] and report.episodes == 2 and report.notes == [], report.text()


def test_the_released_example_has_no_finding(shared_data):
    folder = shared_data / "vitra_ego4d_episode"
    report = check_dataset(folder, folder)
    assert report.findings == [] and report.episodes == 1, report.text()
    assert any("no statistics" in note for note in report.notes)


@pytest.mark.parametrize("fault", STORE)
def test_a_fault_in_the_store_is_found(tmp_path, store, fault):
    code, plant = STORE[fault]
    shutil.copytree(store.root, tmp_path / "set")
    plant(tmp_path / "set")
    report = check_dataset(tmp_path / "set")
    assert code in {finding.code for finding in report.findings}, report.text()


@pytest.mark.parametrize("fault", OFFICIAL)
def test_a_fault_in_official_folders_is_found(tmp_path, official, fault, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, plant = OFFICIAL[fault]
    shutil.copytree(official, tmp_path / "epic")
    plant(tmp_path / "epic")
    report = check_dataset(tmp_path / "epic")
    assert code in {finding.code for finding in report.findings}, report.text()
    assert not (tmp_path / "ran").exists()


def test_every_kind_of_fault_is_planted_and_has_a_mend():
    planted = {code for code, _ in (*STORE.values(), *OFFICIAL.values())}
    # A camera that jumps is planted below: it needs a change of every hand label with it.
    assert planted | {"camera_jump"} == set(MENDS)
    assert len(STORE) + len(OFFICIAL) >= 20


@pytest.mark.parametrize("junk", [None, "text", [], {}, 3.5, np.zeros(0), np.array([None, 1], dtype=object)])
def test_junk_in_any_entry_is_a_finding_and_never_a_crash(tmp_path, official, junk):
    folder = tmp_path / "epic/episodic_annotations"
    folder.mkdir(parents=True)
    path = next((official / "episodic_annotations").glob("*.npy"))
    content = np.load(path, allow_pickle=True).item()
    places = [(content, key) for key in ("extrinsics", "intrinsics", "video_decode_frame", "anno_type", "text", "left")]
    hand = content["left"]
    places += [(hand, key) for key in ("beta", "hand_pose", "transl_worldspace", "kept_frames", "joints_worldspace")]
    for values, key in places:
        kept, values[key] = values[key], junk
        whole = np.empty((), dtype=object)
        whole[()] = content
        np.save(folder / path.name, whole, allow_pickle=True)
        values[key] = kept
        assert check_dataset(tmp_path / "epic").errors, key


def test_a_jumping_camera_is_found(tmp_path, episodes):
    import dataclasses

    from vitra_lib.episodes.doctor.finding import Report
    from vitra_lib.episodes.doctor.labels import check_labels

    T = episodes[0].T_cam_world.copy()
    T[10:, :3, 3] += 1.0
    report = Report("", "store")
    check_labels(dataclasses.replace(episodes[0], T_cam_world=T), report, DoctorConfig())
    assert [(f.severity, f.code) for f in report.findings] == [("warning", "camera_jump")]


def test_the_mirror_rule_is_told_without_a_hand_model(episodes):
    for episode in episodes:
        for side in ("left", "right"):
            hand = episode.hand(side)
            seen = hand.is_valid
            poses = (hand.R_world_wrist[seen], hand.t_world_wrist[seen])
            true = fit_rest_hand(side, *poses, hand.R_parent_joint[seen], hand.joints_world[seen])
            assert np.median(true.residual_m) < 1e-4 and true.pointing > 0.9
            wrong = fit_rest_hand(side, *poses, mirror_rotation(hand.R_parent_joint[seen]), hand.joints_world[seen])
            assert wrong.pointing < 0.7


def test_divided_videos_are_looked_at(tmp_path, official):
    shutil.copytree(official, tmp_path / "epic")
    videos = tmp_path / "epic/videos"
    (videos / "sample.MP4").unlink()
    report = check_dataset(tmp_path / "epic")
    assert not report.findings and any("2 episodes were checked without video" in note for note in report.notes)
    for number, count in enumerate((200, 70), 1):
        other_video(f"videos/sample_part{number}.mp4", count, 30.0, *SIZE)(tmp_path / "epic")
    parted = DoctorConfig(clip_len=200)
    report = check_dataset(tmp_path / "epic", config=parted)
    assert report.findings == [] and report.notes == []
    other_video("videos/sample_part1.mp4", 150, 30.0, *SIZE)(tmp_path / "epic")
    assert {f.code for f in check_dataset(tmp_path / "epic", config=parted).findings} == {"frame_range"}
    with pytest.raises(BadInput, match="clip_len is 0"):
        DoctorConfig(clip_len=0)


def test_a_sample_of_a_dataset(store):
    report = check_dataset(store.root, sample=1)
    assert report.episodes == 1 and not report.findings and "only 1 episodes" in report.notes[0]
    with pytest.raises(BadInput, match="legal are 1 and more"):
        check_dataset(store.root, sample=0)


def test_the_command(tmp_path, store, capsys):
    assert main.main(["check", str(store.root)]) == 0
    assert "2 episodes checked, 0 errors, 0 warnings" in capsys.readouterr().out
    shutil.copytree(store.root, tmp_path / "set")
    STORE["wrist jump"][1](tmp_path / "set")
    assert main.main(["check", str(tmp_path / "set"), "--json", str(tmp_path / "found.json")]) == 1
    shown = capsys.readouterr().out
    assert "WARNING wrist_jump: 1 time. Mend: mark the frames around the jump as invalid" in shown
    found = json.loads((tmp_path / "found.json").read_text())
    jump = next(one for one in found["findings"] if one["code"] == "wrist_jump")
    assert set(jump) == {"severity", "code", "place", "what", "mend"} and "left hand" in jump["place"]
    (tmp_path / "empty").mkdir()
    assert main.main(["check", str(tmp_path / "empty")]) == 2
    assert main.main(["check", str(tmp_path / "nowhere")]) == 2
