"""Mixtures by name, and the data sets behind them: stores, official folders, URLs."""

import pickle

import numpy as np
import pytest
from dataset_stores import make_official, make_store

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.decoder_cache import DecoderCache
from vitra_lib.dataset.mixture import MIXTURES, Mixture
from vitra_lib.dataset.remote import Mirror, RemoteStore
from vitra_lib.dataset.source import OfficialSource, SourceConfig, StoreSource, open_source


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    make_store(folder / "one")
    make_store(folder / "two", 70, 1)
    return folder


@pytest.fixture(scope="module")
def remote(root):
    """The store "one" behind a URL, in fsspec's memory."""
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.put(str(root / "one"), "/bucket/one", recursive=True)
    return "memory://bucket"


def test_published_mixtures():
    mix = Mixture.parse("magic_mix")
    assert dict(zip(mix.names, mix.weights, strict=True)) == {
        "ego4d_cooking_and_cleaning": 1.0,
        "egoexo4d": 3.0,
        "epic": 1.0,
        "ssv2": 5.0,
        "ego4d_other": 0.5,
    }
    assert set(MIXTURES["magic_mix_cooking_and_cleaning"]) == set(MIXTURES["magic_mix"]) - {"ego4d_other"}


def test_a_mixture_is_a_list_or_one_data_set():
    assert Mixture.parse("epic:1, ssv2:0.5") == Mixture(("epic", "ssv2"), (1.0, 0.5))
    assert Mixture.parse("epic") == Mixture(("epic",), (1.0,))


@pytest.mark.parametrize("text", ["", "a:x", "a:0", "a:-1", "a,a", "a:nan", "a:inf", ":2"])
def test_a_bad_mixture_is_refused(text):
    with pytest.raises(BadInput):
        Mixture.parse(text)


def test_data_sets_open_in_the_mixtures_order(root):
    sources = Mixture.parse("two:2,one").open(root)
    assert [source.name for source in sources] == ["two", "one"]
    assert all(isinstance(source, StoreSource) for source in sources)
    with pytest.raises(BadInput, match="three"):
        Mixture.parse("three").open(root)


def test_every_sample_is_found(root):
    source = open_source(root / "one")
    lengths = [len(episode) for episode in source.store]
    assert len(source) == sum(lengths) == source.store.total_frames
    episodes, frames = source.locate(np.arange(len(source)))
    assert episodes.tolist() == [n for n, length in enumerate(lengths) for _ in range(length)]
    assert frames.tolist() == [frame for length in lengths for frame in range(length)]
    assert source.episode_name(1) == source.store[1].name


def test_official_folders_hold_the_same_samples(root, tmp_path):
    store = open_source(root / "one")
    official = open_source(make_official(tmp_path / "official", store.store), "own")
    assert isinstance(official, OfficialSource) and len(official) == len(store)
    cache = DecoderCache()
    for number in range(len(store.store)):
        assert official.episode_name(number) == store.episode_name(number)
        assert np.array_equal(official.episode(number).T_cam_world, store.episode(number).T_cam_world)
        (ours,), (theirs,) = (source.images(number, [4], cache) for source in (store, official))
        assert np.abs(ours.astype(int) - theirs).mean() < 8  # the store's copy is encoded anew; frames are 37 apart


def test_official_videos_in_parts(root, tmp_path):
    from episodes_makers import FPS, frame_grey

    from vitra_lib.video import VideoWriter

    store = open_source(root / "one").store
    folder = make_official(tmp_path / "official", store, clip_len=25)
    for part in range(3):
        with VideoWriter(folder / "own" / "videos" / f"clip_part{part + 1}.mp4", float(FPS), 96, 64) as writer:
            for n in range(25 * part, min(25 * part + 25, 60)):
                writer.write(np.full((64, 96, 3), frame_grey(n), np.uint8))
    source = open_source(folder, "own", SourceConfig(clip_len=25))
    cache = DecoderCache()
    for number in range(len(source.index)):
        episode = source.episode(number)
        frames = [0, len(episode) - 1]
        for frame, image in zip(frames, source.images(number, frames, cache), strict=True):
            assert abs(float(image.mean()) - frame_grey(int(episode.source_frame[frame]))) < 6


def test_a_url_gives_the_same_store(root, remote, tmp_path):
    local = open_source(root / "one")
    source = open_source(remote, "one", SourceConfig(cache=tmp_path))
    assert isinstance(source.store, RemoteStore) and len(source) == len(local)
    fetched = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert ".mp4" not in fetched  # nothing is fetched before it is needed
    assert all(source.episode(n).equals(local.episode(n)) for n in range(len(local.store)))
    cache = DecoderCache()
    ours, theirs = source.images(2, [0, 3], cache), local.images(2, [0, 3], cache)
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    again = pickle.loads(pickle.dumps(source))
    assert again.episode(0).equals(local.episode(0))


def test_a_file_url_is_the_local_disk(root):
    assert len(open_source(f"file://{root / 'one'}")) == len(open_source(root / "one"))


def test_the_mirror_makes_room(remote, root, tmp_path):
    video = next(path for path in (root / "one").rglob("*.mp4")).relative_to(root / "one").as_posix()
    data = next(path for path in (root / "one" / "data").rglob("*.parquet")).relative_to(root / "one").as_posix()
    mirror = Mirror(f"{remote}/one", tmp_path, max_bytes=1)
    first = mirror.fetch(video)
    second = mirror.fetch(data)
    assert second.exists() and not first.exists()
    large = Mirror(f"{remote}/one", tmp_path)
    assert large.fetch(video).exists() and second.exists()  # control: with room both stay


def test_what_is_not_there_is_said(remote, tmp_path):
    with pytest.raises(BadInput, match="meta/info.json"):
        open_source(remote, "none", SourceConfig(cache=tmp_path))
    with pytest.raises(BadInput, match="nosuchscheme"):
        open_source("nosuchscheme://x", "one", SourceConfig(cache=tmp_path))
    with pytest.raises(BadInput, match="no data set"):
        open_source(tmp_path, "none")
    with pytest.raises(BadInput, match="clip_len"):
        SourceConfig(clip_len=0)
