"""The store against LeRobot itself: a dataset that LeRobot wrote, and the real package where there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from episodes_makers import make_captions, make_reconstruction, make_video

from vitra_lib.episodes import EpisodeStore, build_episodes
from vitra_lib.episodes.schema import VIDEO_KEY


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lerobot")
    with EpisodeStore.create(folder / "set") as writer:
        writer.add_video("clip", [make_video(folder / "clip.mp4", 60)], "Own")
        for episode in build_episodes(make_reconstruction(), make_captions(), dataset_prefix="Own")[0]:
            writer.append(episode)
        return writer.finalize()


@pytest.fixture(scope="module")
def theirs(shared_data) -> Path:
    return shared_data / "lerobot_v3_so101"


def test_info_has_what_theirs_has(store, theirs):
    ours, wanted = (json.loads((root / "meta/info.json").read_text()) for root in (store.root, theirs))
    assert set(ours) == set(wanted)
    for key in ("codebase_version", "chunks_size", "data_files_size_in_mb", "data_path", "video_path"):
        assert ours[key] == wanted[key], key
    assert {key: type(value) for key, value in ours.items()} == {key: type(value) for key, value in wanted.items()}
    video, their_video = ours["features"][VIDEO_KEY], wanted["features"]["observation.images.front"]
    assert set(video) == set(their_video) and video["names"] == their_video["names"]
    assert set(video["info"]) == set(their_video["info"])
    for name in ("timestamp", "frame_index", "episode_index", "index", "task_index"):
        assert ours["features"][name] == wanted["features"][name], name
    for name in ("action", "observation.state"):
        assert set(ours["features"][name]) == set(wanted["features"][name])
        assert ours["features"][name]["dtype"] == wanted["features"][name]["dtype"] == "float32"


def test_statistics_have_what_theirs_have(store, theirs):
    ours, wanted = (json.loads((root / "meta/stats.json").read_text()) for root in (store.root, theirs))
    for name, entry in ours.items():
        example = wanted["observation.images.front" if name == VIDEO_KEY else "action"]
        assert set(entry) == set(example)
        assert len(entry["count"]) == len(example["count"]) == 1
    shape = [len(ours[VIDEO_KEY]["mean"]), len(ours[VIDEO_KEY]["mean"][0]), len(ours[VIDEO_KEY]["mean"][0][0])]
    assert shape == [3, 1, 1] and len(wanted["observation.images.front"]["mean"]) == 3
    assert set(wanted) - {"observation.images.front", "observation.images.top"} <= set(ours)


@pytest.mark.parametrize("name", ["meta/tasks.parquet", "meta/episodes/chunk-000/file-000.parquet"])
def test_tables_have_the_types_of_theirs(store, theirs, name):
    ours, wanted = (pq.read_schema(root / name) for root in (store.root, theirs))
    # Their first camera stands for ours, their second is left out.
    own = {field.name: str(field.type) for field in ours}
    for field in wanted:
        if "images.top" in field.name:
            continue
        known = own[field.name.replace("observation.images.front", VIDEO_KEY)]
        assert known == str(field.type), field.name
    if "tasks" in name:
        pandas = [json.loads(schema.metadata[b"pandas"]) for schema in (ours, wanted)]
        assert pandas[0]["index_columns"] == pandas[1]["index_columns"]
        assert pandas[0]["columns"] == pandas[1]["columns"]


def test_data_have_the_types_and_groups_of_theirs(store, theirs):
    path = "data/chunk-000/file-000.parquet"
    with pq.ParquetFile(store.root / path) as ours, pq.ParquetFile(theirs / path) as wanted:
        assert ours.num_row_groups == len(store) and wanted.num_row_groups == 4  # one per episode
        for field in wanted.schema_arrow:
            kind, known = str(field.type), str(ours.schema_arrow.field(field.name).type)
            assert known.split("[")[0] == kind.split("[")[0], field.name
        described = [json.loads(f.schema_arrow.metadata[b"huggingface"])["info"]["features"] for f in (ours, wanted)]
        assert described[0]["timestamp"] == described[1]["timestamp"]
        assert set(described[0]["action"]) == set(described[1]["action"])
        codecs = {f.metadata.row_group(0).column(0).compression for f in (ours, wanted)}
        assert codecs == {"SNAPPY"}


def test_the_real_package_sees_what_was_written(tmp_path, store, repository):
    """Needs an environment of its own, since lerobot pins other versions: name its interpreter in LEROBOT_PYTHON."""
    python = os.environ.get("LEROBOT_PYTHON")
    if not python:
        pytest.skip("LEROBOT_PYTHON names no interpreter of an environment that has lerobot.")
    script = repository / "benchmarks/lerobot_opens.py"
    command = [sys.executable, script, "--python", python, "--dataset", store.root, "--records", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr
    values = {one["name"]: one["value"] for one in json.loads((tmp_path / "lerobot_opens.json").read_text())["values"]}
    assert values["columns that differ"] == 0 and values["frames missing from lerobot's loader"] == 0
