"""The loader: the same batches from any number of workers, in both ways, and after a stop at any point."""

import json
import pickle

import numpy as np
import pytest
import torch
from dataset_stores import make_store

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset import AugmentationConfig, SampleConfig, make_sample, sample_rng
from vitra_lib.dataset.collate import collate, square
from vitra_lib.dataset.label_pool import LabelPool
from vitra_lib.dataset.loader import LoaderConfig, TrainingLoader
from vitra_lib.dataset.sampler import SampleKey
from vitra_lib.dataset.source import open_source
from vitra_lib.dataset.training_samples import ReadConfig, TrainingSamples

AUGMENTED = SampleConfig(augmentation=AugmentationConfig(), state_dropout=0.1)
TENSORS = ("image", "fov_rad", "action", "action_mask", "state", "state_mask", "dataset", "frame")


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for name, frames, seed in (("one", 60, 0), ("two", 70, 1)):
        make_store(folder / name, frames, seed)
    return [folder / "one", folder / "two"]


def samples_of(roots, config=AUGMENTED, seed=5, **read):
    return TrainingSamples([open_source(root) for root in roots], config, seed=seed, read=ReadConfig(**read))


def loader_of(roots, workers=0, weights=(1.0, 0.5), **config):
    values = {"batch_size": 16, "num_workers": workers, **config}
    return TrainingLoader(samples_of(roots), weights, LoaderConfig(**values))


def assert_same(ours, theirs):
    assert len(ours) == len(theirs) > 0
    for a, b in zip(ours, theirs, strict=True):
        assert a.instruction == b.instruction and a.name == b.name
        for name in TENSORS:
            assert torch.equal(getattr(a, name), getattr(b, name)), name


@pytest.fixture(scope="module")
def epoch(roots):
    """One epoch read by one process without workers."""
    return list(loader_of(roots))


def test_a_batch_is_what_a_policy_takes(epoch):
    batch = epoch[0]
    assert len(batch) == 16
    assert batch.image.shape == (16, 3, 224, 224) and batch.image.dtype == torch.uint8
    assert batch.action.shape == batch.action_mask.shape == (16, 16, 192)
    assert batch.state.shape == batch.state_mask.shape == (16, 212)
    assert batch.fov_rad.shape == (16, 2) and bool(((batch.fov_rad > 0) & (batch.fov_rad < np.pi)).all())
    assert not batch.action[~batch.action_mask].any()
    assert batch.to("cpu").image is batch.image


@pytest.mark.parametrize(("workers", "is_streaming"), [(0, True), (2, False), (2, True)])
def test_workers_and_streaming_change_nothing(roots, epoch, workers, is_streaming):
    assert_same(list(loader_of(roots, workers, is_streaming=is_streaming)), epoch)


def test_ranks_share_the_global_batches(roots, epoch):
    parts = [list(loader_of(roots, batch_size=8, world_size=2, rank=rank)) for rank in range(2)]
    for whole, first, second in zip(epoch, *parts, strict=True):
        assert whole.name[0::2] == first.name and whole.name[1::2] == second.name
        assert torch.equal(whole.image[0::2], first.image) and torch.equal(whole.action[1::2], second.action)


@pytest.mark.parametrize(("workers", "is_streaming"), [(0, False), (2, False), (2, True)])
def test_a_run_goes_on_where_it_stopped(roots, epoch, workers, is_streaming):
    for stop in (3, len(epoch)) if workers == 0 else (3,):
        first = loader_of(roots, workers, is_streaming=is_streaming)
        for number, _ in enumerate(first, 1):
            if number == stop:
                state = json.loads(json.dumps(first.state_dict()))  # as a checkpoint would keep it
                break
        second = loader_of(roots)
        second.load_state_dict(state)
        assert len(second) == len(epoch) - stop
        rest = list(second)
        if stop < len(epoch):
            assert_same(list(first), rest)  # the loop that was left may be taken up again too
            assert_same(rest, epoch[stop:])
        else:
            assert rest == []
        assert second.epoch == 1


def test_control_draws_that_are_not_keyed_by_place_do_not_survive_a_stop(roots):
    """With a generator that merely goes on, the same sample comes out otherwise after a stop."""
    episode = open_source(roots[0]).episode(0)
    rng = np.random.default_rng(0)
    before = [make_sample(episode, 3, None, AUGMENTED, rng).K_px for _ in range(2)]
    assert not np.array_equal(before[1], make_sample(episode, 3, None, AUGMENTED, np.random.default_rng(0)).K_px)
    keyed = [make_sample(episode, 3, None, AUGMENTED, sample_rng(0, 0, 7)).K_px for _ in range(2)]
    assert np.array_equal(*keyed)


def test_epochs_follow_each_other_and_differ(roots, epoch):
    loader = loader_of(roots)
    first, second = list(loader), list(loader)
    assert_same(first, epoch)
    assert loader.epoch == 2
    assert [b.name for b in first] != [b.name for b in second]
    loader.start_epoch(1)
    assert_same(list(loader), second)


@pytest.mark.parametrize("is_streaming", [False, True])
def test_workers_live_on_from_epoch_to_epoch(roots, is_streaming):
    reader = samples_of(roots, with_images=False)
    truth, loader = (
        TrainingLoader(reader, None, LoaderConfig(16, num_workers=workers, is_streaming=is_streaming))
        for workers in (0, 2)
    )
    for _ in range(3):
        ours, theirs = list(loader), list(truth)
        assert [b.name for b in ours] == [b.name for b in theirs] and len(ours) > 2
        assert all(torch.equal(a.action, b.action) for a, b in zip(ours, theirs, strict=True))
    loader.close()


def test_without_dropping_every_sample_comes_once(roots):
    loader = loader_of(roots, weights=None, batch_size=7, drop_last=False)
    found = [(name, int(frame)) for batch in loader for name, frame in zip(batch.name, batch.frame, strict=True)]
    wanted = [
        (episode.name, frame) for root in roots for episode in open_source(root).store for frame in range(len(episode))
    ]
    assert sorted(found) == sorted(wanted)


def test_a_batch_equals_its_single_samples_and_the_plain_function(roots):
    samples = samples_of(roots)
    keys = [SampleKey(0, 5, 0, 3), SampleKey(1, 20, 2, 9), SampleKey(0, 60, 1, 4), SampleKey(0, 5, 1, 3)]
    batch = samples.batch(keys)
    single = [samples[key] for key in keys]
    assert_same([collate(single[:1])], [samples.batch(keys[:1])])
    assert torch.equal(batch.action, collate(single).action) and torch.equal(batch.image, collate(single).image)
    assert not torch.equal(batch.image[0], batch.image[3])  # another epoch, another view
    for key, sample in zip(keys, single, strict=True):
        source = samples.sources[key.dataset]
        number, frame = (int(found[0]) for found in source.locate(np.array([key.index])))
        image = source.store.images(number, [frame])[0]
        rng = sample_rng(samples.seed, key.epoch, key.position)
        plain = make_sample(source.episode(number), frame, image, AUGMENTED, rng)
        assert (plain.name, plain.frame, plain.instruction) == (sample.name, sample.frame, sample.instruction)
        for name in ("image", "action", "action_mask", "state", "state_mask", "fov_rad", "K_px"):
            assert np.array_equal(getattr(plain, name), getattr(sample, name)), name


def test_labels_alone_are_the_same_labels(roots, epoch):
    samples = samples_of(roots, with_images=False)
    batches = list(TrainingLoader(samples, (1.0, 0.5), LoaderConfig(batch_size=16)))
    for labels, whole in zip(batches, epoch, strict=True):
        assert labels.image is None and labels.instruction == whole.instruction
        assert torch.equal(labels.action, whole.action) and torch.equal(labels.state, whole.state)
    assert samples.cache.misses == 0


def test_samples_have_numbers(roots):
    samples = samples_of(roots, SampleConfig())
    assert len(samples) == sum(samples.lengths)
    last, first_of_second = samples[-1], samples[samples.lengths[0]]
    assert last.name == samples.sources[1].store[-1].name
    assert (first_of_second.name, first_of_second.frame) == (samples.sources[1].store[0].name, 0)
    with pytest.raises(IndexError):
        samples[len(samples)]


def test_any_other_loader_takes_the_samples_too(roots):
    samples = samples_of(roots, SampleConfig())
    loader = torch.utils.data.DataLoader(samples, batch_size=4, collate_fn=collate)
    batch = next(iter(loader))
    assert batch.image.shape == (4, 3, 224, 224) and batch.frame.tolist() == [0, 1, 2, 3]


def test_a_pool_that_is_too_small_changes_nothing(roots, epoch):
    for rows in (1, 100, 260):
        samples = samples_of(roots, label_rows=rows, with_images=False)
        batches = list(TrainingLoader(samples, (1.0, 0.5), LoaderConfig(batch_size=16)))
        for ours, whole in zip(batches, epoch, strict=True):
            assert ours.name == whole.name and torch.equal(ours.frame, whole.frame)
            assert torch.equal(ours.action, whole.action) and torch.equal(ours.state, whole.state)


def test_the_pool_reads_an_episode_once_while_there_is_room(roots):
    store = open_source(roots[0]).store
    read = []

    def load(number):
        read.append(number)
        return store[number]

    pool = LabelPool()
    for keys in ([0, 1, 0], [1, 2], [0, 2, 1]):
        arrays, numbers = pool.gather(keys, load)
        for key, number in zip(keys, numbers.tolist(), strict=True):
            begin, length = int(arrays.start[number]), int(arrays.length[number])
            assert arrays.names[number] == store[key].name
            assert np.array_equal(arrays.R_cam_world[begin : begin + length], store[key].T_cam_world[:, :3, :3])
    assert read == [0, 1, 2]


def test_a_copy_for_a_worker_gives_the_same_samples(roots):
    samples = samples_of(roots)
    before = samples[3]
    copy = pickle.loads(pickle.dumps(samples))
    assert copy.cache.used_bytes == 0 and np.array_equal(copy[3].image, before.image)


@pytest.mark.parametrize("size", [(224, 224), (224, 300), (224, 447), (368, 480), (100, 60)])
def test_the_square_is_the_processors(size):
    from PIL import Image

    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (size[0] // 8 + 1, size[1] // 8 + 1, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC))
    truth = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BICUBIC)).astype(int)
    ours = square(image).permute(1, 2, 0).numpy().astype(int)
    assert np.abs(ours - truth).max() <= (1 if min(size) >= 224 else 2)
    assert (ours != truth).mean() < 0.02
    if size[1] > 300:  # control: another filter is farther away
        other = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(other - truth).max() > 2


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_names_its_sample(tmp_path, workers):
    make_store(tmp_path / "bad")
    video = next((tmp_path / "bad").rglob("*.mp4"))
    data = video.read_bytes()
    video.write_bytes(data[:200] + bytes(len(data) - 200))
    loader = loader_of([tmp_path / "bad"], workers, weights=None)
    with pytest.raises(BadInput, match=r"^Sample of bad: episode Own_clip_ep_\d+, frame \d+: .*file-000.mp4"):
        list(loader)
    assert loader.sampler.position == 0


def test_labels_that_are_missing_are_named_too(tmp_path):
    make_store(tmp_path / "bad")
    next((tmp_path / "bad" / "data").rglob("*.parquet")).unlink()
    with pytest.raises(BadInput, match=r"^Sample of bad: episode Own_clip_ep_\d+: .*is missing"):
        samples_of([tmp_path / "bad"], with_images=False)[0]


def test_a_state_of_other_data_is_refused(roots):
    state = loader_of(roots).state_dict()
    with pytest.raises(BadInput, match="data sets"):
        loader_of(roots[:1], weights=(1.0,)).load_state_dict(state)
    with pytest.raises(BadInput, match="weights"):
        loader_of(roots, weights=(1.0, 1.0)).load_state_dict(state)
    with pytest.raises(BadInput, match="version"):
        loader_of(roots).load_state_dict({**state, "version": 99})


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: LoaderConfig(4, num_workers=-1), "num_workers"),
        (lambda: LoaderConfig(4, start_method="no"), "start_method"),
        (lambda: collate([]), "at least one"),
        (lambda: LabelPool(0), "legal"),
        (lambda: TrainingSamples([], SampleConfig()), "at least one data set"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, word):
    with pytest.raises(BadInput, match=word):
        make()


def test_a_key_outside_the_data_is_refused(roots):
    with pytest.raises(BadInput, match="outside"):
        samples_of(roots).batch([SampleKey(0, 10**6, 0, 0)])
