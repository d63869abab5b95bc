"""The decoder cache gives exactly the frames that the reader gives, in bounded memory."""

import pickle

import numpy as np
import pytest
from dataset_stores import make_store
from episodes_makers import make_video

from vitra_lib.core.errors import BadInput, BadVideo
from vitra_lib.dataset.decoder_cache import DecoderCache
from vitra_lib.video import VideoReader, VideoWriter


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """A store's kind of video whose frames all differ in many pixels."""
    path = tmp_path_factory.mktemp("video") / "noisy.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, 30.0, 64, 48, gop=10) as writer:
        for n in range(47):
            writer.write(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8) // 4 + n * 4)
    return path


@pytest.fixture(scope="module")
def truth(noisy):
    with VideoReader(noisy) as reader:
        return [frame.image for frame in reader.frames()]


def wanted():
    return [*np.random.default_rng(1).integers(0, 47, 60).tolist(), 3, 4, 5, 6, 19, 20, 21, 46, 0, 46]


@pytest.mark.parametrize("store_fps", [30, None])
@pytest.mark.parametrize("max_bytes", [0, 5 * 64 * 72, 1 << 30])
def test_frames_are_exact_whatever_is_kept(noisy, truth, store_fps, max_bytes):
    cache = DecoderCache(max_bytes=max_bytes)
    for number in wanted():
        image = cache.images(noisy, [number], store_fps)[0]
        assert np.array_equal(image, truth[number])
        image[:] = 0  # the caller may write into it
    together = cache.images(noisy, wanted(), store_fps)
    assert all(np.array_equal(image, truth[number]) for image, number in zip(together, wanted(), strict=True))
    assert len({id(image) for image in together}) == len(together)


def test_control_neighbours_differ(truth):
    assert not np.array_equal(truth[3], truth[4])


def test_what_was_decoded_on_the_way_is_not_decoded_again(noisy):
    cache = DecoderCache()
    cache.images(noisy, [29], 30)
    assert (cache.hits, cache.misses) == (0, 1)
    cache.images(noisy, list(range(20, 30)), 30)
    assert (cache.hits, cache.misses) == (10, 1)
    cache.images(noisy, [19], 30)  # control: another group of pictures
    assert cache.misses == 2


def test_memory_and_open_files_are_bounded(noisy, tmp_path):
    frame = 64 * 48 * 3 // 2
    cache = DecoderCache(max_bytes=7 * frame, max_open=2)
    others = [make_video(tmp_path / f"{n}.mp4", 5) for n in range(3)]
    for number in wanted():
        cache.images(noisy, [number], 30)
        assert cache.used_bytes <= 7 * frame
    for path in others:
        cache.images(path, [1])
        assert cache.open_count <= 2
    assert np.array_equal(cache.images(noisy, [5], 30)[0], DecoderCache().images(noisy, [5], 30)[0])
    cache.close()
    assert cache.used_bytes == cache.open_count == 0


def test_a_store_shows_the_frames_of_its_episodes(tmp_path):
    from vitra_lib.dataset.source import open_source

    store = make_store(tmp_path / "set")
    source = open_source(tmp_path / "set")
    cache = DecoderCache()
    for number in range(len(store)):
        frames = [0, len(store[number]) - 1, 3]
        ours, theirs = source.images(number, frames, cache), store.images(number, frames)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_copy_for_a_worker_starts_empty(noisy, truth):
    cache = DecoderCache(max_open=3)
    cache.images(noisy, [5], 30)
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.used_bytes, copy.open_count, copy.max_open) == (0, 0, 3)
    assert np.array_equal(copy.images(noisy, [5], 30)[0], truth[5])


def test_bad_input_is_refused_and_the_cache_goes_on(noisy, truth, tmp_path):
    cache = DecoderCache()
    for number in (-1, 47):
        with pytest.raises(BadInput, match="legal are 0 to 46"):
            cache.images(noisy, [number], 30)
    with pytest.raises(BadVideo, match="frames per second"):
        cache.images(noisy, [0], 31)
    with pytest.raises(BadVideo, match="does not exist"):
        cache.images(tmp_path / "none.mp4", [0], 30)
    damaged = tmp_path / "cut.mp4"
    data = noisy.read_bytes()
    damaged.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadVideo, match="cut.mp4"):
        cache.images(damaged, [46], 30)
    with pytest.raises(BadInput, match="legal"):
        DecoderCache(max_open=0)
    assert np.array_equal(cache.images(noisy, [46], 30)[0], truth[46])
