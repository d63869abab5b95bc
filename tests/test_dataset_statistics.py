"""Statistics of data sets on disk: any number of workers, both layouts, and the command."""

import json

import numpy as np
import pytest
from dataset_stores import make_official, make_store

from vitra_lib.cli.main import main
from vitra_lib.dataset import (
    AugmentationConfig,
    EpisodeArrays,
    SampleConfig,
    label_statistics,
    read_statistics,
    source_statistics,
)
from vitra_lib.dataset.source import open_source

VARIED = SampleConfig(augmentation=AugmentationConfig())


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A store and its export as official files."""
    folder = tmp_path_factory.mktemp("statistics")
    make_official(folder / "official", make_store(folder / "store"))
    return folder


def test_a_data_set_on_disk_counts_as_its_episodes_do(root):
    source = open_source(root / "store")
    found = source_statistics(source, VARIED, seed=5)
    whole = label_statistics([EpisodeArrays.of(*source.store)], VARIED, seed=5)
    assert found.frames == whole.frames == len(source)
    for ours, theirs in zip((*found.state, *found.action), (*whole.state, *whole.action), strict=True):
        assert np.allclose(ours, theirs, atol=1e-10)
    other = source_statistics(source, VARIED, seed=6)
    assert not np.allclose(other.state[1], found.state[1], atol=1e-4)  # control: other views


def test_any_number_of_workers_gives_the_same_bits(root, monkeypatch):
    source = open_source(root / "store")
    monkeypatch.setattr("vitra_lib.dataset.statistics._BLOCK", 40)
    alone, shared = (source_statistics(source, SampleConfig(), workers=n) for n in (1, 2))
    for ours, theirs in zip((*alone.state, *alone.action), (*shared.state, *shared.action), strict=True):
        assert np.array_equal(ours, theirs)


def test_the_command_writes_the_official_file(root, tmp_path, capsys):
    assert main(["statistics", str(root / "store"), "--out", str(tmp_path / "a.json"), "--no-augmentation"]) == 0
    assert main(["statistics", str(root / "official"), "--out", str(tmp_path / "b.json"), "--no-augmentation"]) == 0
    ours, official = read_statistics(tmp_path / "a.json"), read_statistics(tmp_path / "b.json")
    assert np.allclose(ours.state_mean, official.state_mean) and np.allclose(ours.action_std, official.action_std)
    assert "frames counted" in capsys.readouterr().out
    mix = ["statistics", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--out", str(tmp_path / "m.json")]
    assert main([*mix, "--mix", "pooled"]) == 0
    assert np.allclose(read_statistics(tmp_path / "m.json").state_std, ours.state_std)
    assert json.loads((tmp_path / "m.json").read_text())["dataset_name"] == "m"


def test_bad_commands_are_one_sentence(root, tmp_path, capsys):
    out = ["--out", str(tmp_path / "a.json")]
    assert main(["statistics", str(tmp_path / "nothing"), *out]) == 2
    assert main(["statistics", str(root / "store"), str(root / "store"), *out]) == 2
    assert main(["statistics", str(root / "store"), "--mix", "pooled", *out]) == 2
    assert not (tmp_path / "a.json").exists()
    assert capsys.readouterr().err.count("vitra:") == 3
