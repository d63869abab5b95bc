"""The dataset card: counts, source, licence, anonymity and known errors, kept through appending."""

import json

import pytest
from episodes_makers import make_captions, make_reconstruction, make_video

from vitra_lib import __version__
from vitra_lib.core.paths import results_folder
from vitra_lib.episodes import EpisodeStore, FootageConfig, build_episodes
from vitra_lib.episodes.card import CardFacts, known_errors


def written(root, config=None, facts=None):
    episodes = build_episodes(make_reconstruction(), make_captions(), dataset_prefix="epic")[0]
    video = make_video(root.parent / "clip.mp4", 60)
    with EpisodeStore.create(root, config) as writer:
        writer.add_video("clip", [video], "epic")
        for episode in episodes:
            writer.append(episode)
        return writer.finalize(facts)


def test_the_card_says_what_the_data_are(tmp_path):
    facts = CardFacts("built from videos", ("wrist error 3 cm (n = 10)",))
    store = written(tmp_path / "set", facts=facts)
    card = (store.root / "README.md").read_text()
    for line in (
        "| episodes | 4 |",
        f"| frames | {store.total_frames} |",
        "| source videos | 1 |",
        "| of them anonymised | 0 |",
        "| epic | 1 | CC BY-NC 4.0 (epic-kitchens.github.io) |",
        "- wrist error 3 cm (n = 10)",
        f"built from videos (vitra-lab {__version__})",
        "were not made unrecognisable",
    ):
        assert line in card, line
    with EpisodeStore.append(store.root) as writer:
        writer.add_video("more", [make_video(tmp_path / "more.mp4", 60)], "Own")
        more = build_episodes(make_reconstruction(60, 1, "more.mp4"), make_captions(), dataset_prefix="Own")[0]
        writer.append(more[0])
        writer.finalize()
    card = (store.root / "README.md").read_text()
    assert "| episodes | 5 |" in card and "| Own | 1 | those of the source videos" in card
    assert "wrist error 3 cm" in card and "built from videos (" in card  # what was known stays known


def test_an_anonymised_video_is_recorded_as_such(tmp_path):
    store = written(tmp_path / "set", FootageConfig(anonymise=True))
    assert [video["is_anonymised"] for video in store.videos] == [True]
    card = (store.root / "README.md").read_text()
    assert (
        "| of them anonymised | 1 |" in card and "made unrecognisable in all videos" in card and "no guarantee" in card
    )
    assert not list(store.root.rglob("anonymised-*"))
    again = EpisodeStore.append(store.root)
    assert again.footage_config.anonymise  # what is added later is treated alike
    again.discard()


def test_an_export_can_be_anonymised(tmp_path, monkeypatch):
    """Once, and only where it wasn't done when the dataset was written."""
    import shutil

    from vitra_lib.episodes import ExportConfig, export_vitra_1m

    seen = []

    def cover(source, target, **_):
        seen.append(source.name)
        shutil.copyfile(source, target)

    monkeypatch.setattr("vitra_lib.video.anonymise.anonymise_video", cover)
    store = written(tmp_path / "set")
    export_vitra_1m(store, tmp_path / "plain")
    assert not seen
    export_vitra_1m(store, tmp_path / "out", ExportConfig(anonymise=True))
    assert seen == ["clip.MP4"] and [path.name for path in (tmp_path / "out").rglob("videos/*")] == ["clip.MP4"]
    hidden = written(tmp_path / "hidden", FootageConfig(anonymise=True))
    assert len(seen) == 2
    export_vitra_1m(hidden, tmp_path / "again", ExportConfig(anonymise=True))
    assert len(seen) == 2


def test_known_errors_come_from_the_records(tmp_path):
    record = {"values": [
        {"name": "wrist position", "value": 3.05, "unit": "cm", "n": 60, "ci95": [2.5, 3.5]},
        {"name": "lost", "value": None, "unit": "1", "n": 0, "ci95": None},
    ]}  # fmt: skip
    (tmp_path / "reconstruction.world.json").write_text(json.dumps(record))
    assert known_errors(tmp_path) == (
        "reconstruction.world: wrist position 3.05 cm (n = 60, 95 % interval 2.5 to 3.5)",
    )
    (tmp_path / "reconstruction.world.json").write_text("{")
    assert known_errors(tmp_path) == ()
    if (results_folder() / "records/reconstruction.world.json").is_file():
        assert any(line.startswith("reconstruction.world: ") for line in known_errors())


@pytest.mark.parametrize("key", ["license", "task_categories", "configs"])
def test_the_head_is_what_hubs_read(tmp_path, key):
    import yaml

    head = (written(tmp_path / "set").root / "README.md").read_text().split("---")[1]
    assert key in yaml.safe_load(head)
