"""The order of training: one order for every split, nothing lost or doubled, exact resume, weights, uniformity."""

from collections import Counter
from itertools import zip_longest

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput
from vitra_lib.dataset.permutation import derive_key, derive_keys, permute, permute_in_blocks
from vitra_lib.dataset.sampler import Locality, MixtureOrder, MixtureSampler, SampleKey, Share

ORDERS = {
    "one": MixtureOrder((101,), (1.0,), seed=3),
    "mixed": MixtureOrder((50, 7, 200), (1.0, 3.0, 0.5), seed=4),
    "near": MixtureOrder((50, 333), (1.0, 0.7), seed=5, locality=Locality(block=8, window=3)),
    "in order": MixtureOrder((20, 30), (1.0, 2.0), shuffle=False),
}


def full(size, key):
    return np.full(size, key, np.uint64)


def whole_epoch(order, epoch=0):
    dataset, index = order.at(epoch, np.arange(order.samples_per_epoch))
    return list(zip(dataset.tolist(), index.tolist(), strict=True))


def single_process(order, epochs=1):
    return [key for epoch in range(epochs) for key in whole_epoch(order, epoch)]


def names(batches):
    return [(key.dataset, key.index) for batch in batches for key in batch]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 17, 100, 1023, 1024, 1025])
def test_a_permutation_meets_every_element_once(size):
    x = np.arange(size)
    for seed in range(5):
        key = full(size, derive_key(seed))
        assert sorted(permute(x, np.full(size, size), key)) == list(range(size))
        for block, window in ((1, 1), (3, 2), (16, 4), (2000, 1)):
            assert sorted(permute_in_blocks(x, size, key, block, window)) == list(range(size))


def test_any_part_of_a_permutation_equals_the_whole():
    key = derive_key(7)
    size = 26_413_530
    x = np.random.default_rng(0).integers(0, size, 1000)
    together = permute(x, np.full(1000, size), full(1000, key))
    alone = [int(permute(x[i : i + 1], np.array([size]), full(1, key))[0]) for i in range(0, 1000, 50)]
    assert together[::50].tolist() == alone
    assert len(np.unique(together)) == len(np.unique(x))


def chi_square_per_degree(rounds_key_of, size):
    """All orders of `size` elements should come equally often."""
    draws = 24_000
    columns = [rounds_key_of(place, draws) for place in range(size)]
    counts = Counter(map(tuple, np.stack(columns, axis=1).tolist()))
    orders = int(np.prod(range(1, size + 1)))
    expected = draws / orders
    missing = orders - len(counts)
    return (sum((c - expected) ** 2 for c in counts.values()) / expected + missing * expected) / (orders - 1)


def test_all_orders_come_equally_often():
    def fair(place, draws, size=5):
        keys = derive_keys(derive_key(1), np.arange(draws))
        return permute(np.full(draws, place), np.full(draws, size), keys)

    def only_rotated(place, draws, size=5):
        return (place + np.arange(draws)) % size

    assert chi_square_per_degree(fair, 5) < 1.5
    assert chi_square_per_degree(only_rotated, 5) > 100  # control: rotations alone are 5 of 120 orders


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_split_gives_the_single_process_order(name, world, workers):
    order = ORDERS[name]
    shards = []
    for rank in range(world):
        sampler = MixtureSampler(order, Share(4, world, rank, drop_last=False))
        by_worker = [list(sampler.shard(worker, workers)) for worker in range(workers)]
        # A loader takes one batch of each worker in turn.
        shards.append([batch for turn in zip_longest(*by_worker) for batch in turn if batch is not None])
    assert len({len(batches) for batches in shards}) == 1
    joined = []
    for step in zip(*shards, strict=True):
        joined += [key for turn in zip_longest(*step) for key in turn if key is not None]
    assert [(key.dataset, key.index) for key in joined] == single_process(order)
    assert [key.position for key in joined] == list(range(order.samples_per_epoch))


def test_control_one_generator_per_worker_gives_another_order():
    """What a loader without a common order does: the split changes the order, and samples are doubled and lost."""

    def naive(worker, workers):
        rng = np.random.default_rng([0, worker])
        return rng.integers(0, 101, 101 // workers).tolist()

    alone = naive(0, 1)
    split = [sample for turn in zip(naive(0, 2), naive(1, 2), strict=True) for sample in turn]
    assert split != alone[:100]
    assert len(set(alone)) < 101


@pytest.mark.parametrize("name", ORDERS)
def test_each_data_set_is_swept_as_often_as_it_weighs(name):
    order = ORDERS[name]
    epochs = 4
    counts = [Counter() for _ in order.lengths]
    for dataset, index in single_process(order, epochs):
        counts[dataset][index] += 1
    for number, (length, share) in enumerate(zip(order.lengths, order.shares, strict=True)):
        assert sum(counts[number].values()) == epochs * share
        sweeps = epochs * share / length
        often = [counts[number][index] for index in range(length)]
        assert np.floor(sweeps) <= min(often) and max(often) <= np.ceil(sweeps)


def test_half_a_weight_shows_one_half_and_then_the_other():
    order = MixtureOrder((40, 60), (0.5, 1.0), seed=1)
    first, second = ({index for dataset, index in whole_epoch(order, epoch) if dataset == 0} for epoch in range(2))
    assert len(first) == len(second) == 20 and not first & second


def test_data_sets_are_mixed_evenly_all_along():
    order = MixtureOrder((100_000, 30_000, 700), (1.0, 1.0, 1.0), seed=2)
    dataset, _ = order.at(0, np.arange(order.samples_per_epoch))
    for begin in range(0, len(dataset) - 4096, 4096):
        found = np.bincount(dataset[begin : begin + 4096], minlength=3)
        assert np.abs(found - 4096 * np.array(order.shares) / order.samples_per_epoch).max() < 30
    assert 0 < np.abs(np.diff(dataset[:4096])).mean() < 2  # not one after the other
    unmixed, _ = MixtureOrder(order.lengths, order.weights, shuffle=False).at(0, np.arange(order.samples_per_epoch))
    assert np.bincount(unmixed[:4096], minlength=3)[1] == 0  # control


def test_epochs_and_seeds_differ():
    order = ORDERS["one"]
    assert whole_epoch(order, 0) != whole_epoch(order, 1)
    assert whole_epoch(order, 0) != whole_epoch(MixtureOrder((101,), (1.0,), seed=9), 0)
    assert sorted(whole_epoch(order, 0)) == sorted(whole_epoch(order, 1))


@pytest.mark.parametrize("name", ORDERS)
def test_resume_at_every_step_gives_the_same_remainder(name):
    order = ORDERS[name]
    share = Share(4, 2, 1)
    whole = list(MixtureSampler(order, share))
    sampler = MixtureSampler(order, share)
    for done in range(len(whole) + 1):
        again = MixtureSampler(order, share)
        again.load_state_dict(sampler.state_dict())
        assert list(again) == whole[done:]
        sampler.advance()


def test_resume_with_another_number_of_ranks_goes_on_in_the_order():
    order = ORDERS["mixed"]
    sampler = MixtureSampler(order, Share(8, 2, 0))
    sampler.advance()
    sampler.advance()
    ranks = []
    for rank in range(3):
        other = MixtureSampler(order, Share(5, 3, rank, drop_last=False))
        other.load_state_dict(sampler.state_dict())
        ranks.append(list(other))
    joined = []
    for step in zip(*ranks, strict=True):
        joined += [key for turn in zip_longest(*step) for key in turn if key is not None]
    assert [(key.dataset, key.index) for key in joined] == single_process(order)[32:]


def test_iterating_does_not_change_the_state():
    sampler = MixtureSampler(ORDERS["one"], Share(4))
    before = sampler.state_dict()
    list(sampler)
    assert sampler.state_dict() == before


def test_dropping_the_last_step_gives_every_rank_as_many_full_batches():
    batches = [list(MixtureSampler(ORDERS["mixed"], Share(8, 3, rank))) for rank in range(3)]
    assert {len(batch) for rank in batches for batch in rank} == {8}
    assert {len(rank) for rank in batches} == {ORDERS["mixed"].samples_per_epoch // 24}


def test_the_near_shuffle_reads_few_blocks_at_a_time():
    def blocks_touched(locality):
        order = MixtureOrder((100_000,), (1.0,), locality=locality)
        _, index = order.at(0, np.arange(40_000, 44_000))
        return len(np.unique(index // 100))

    assert blocks_touched(Locality(block=100, window=10)) < 250
    assert blocks_touched(None) > 950  # control: the whole shuffle touches nearly all of the 1,000


def test_memory_does_not_grow_with_the_data():
    """26 million samples: no array of that length is ever made."""
    import tracemalloc

    order = MixtureOrder((20_000_000, 6_400_000), (1.0, 1.0))
    sampler = MixtureSampler(order, Share(64))
    tracemalloc.start()
    next(iter(sampler))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6 < 26_400_000


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: MixtureOrder((), ()), "weights"),
        (lambda: MixtureOrder((5,), (1.0, 2.0)), "weights"),
        (lambda: MixtureOrder((5, 0), (1.0, 2.0)), "at least one"),
        (lambda: MixtureOrder((5,), (0.0,)), "above 0"),
        (lambda: MixtureOrder((5,), (float("nan"),)), "above 0"),
        (lambda: MixtureOrder((5,), (1.0,), seed=-1), "seed"),
        (lambda: Share(0), "at least 1"),
        (lambda: Share(1, 2, 2), "0 to 1"),
        (lambda: Locality(block=0), "block"),
        (lambda: MixtureSampler(MixtureOrder((5,), (1.0,)), Share(8)), "smaller batch"),
        (lambda: MixtureOrder((5,), (1.0,)).at(0, np.array([5])), "positions 0 to 4"),
        (lambda: permute(np.array([5]), np.array([5]), full(1, 0)), "outside"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, word):
    with pytest.raises(BadInput, match=word):
        make()


def test_a_state_of_another_order_is_refused_and_says_what_differs():
    state = MixtureSampler(ORDERS["mixed"], Share(4)).state_dict()
    other = MixtureSampler(MixtureOrder((50, 7, 200), (1.0, 3.0, 1.0), seed=4), Share(4))
    with pytest.raises(BadInput, match="weights"):
        other.load_state_dict(state)
    with pytest.raises(BadInput, match="version"):
        other.load_state_dict({**state, "version": 0})
    mine = MixtureSampler(ORDERS["mixed"], Share(4))
    with pytest.raises(BadInput, match="damaged"):
        mine.load_state_dict({**state, "position": 10**9})


def test_a_key_is_a_plain_tuple():
    assert SampleKey(1, 2, 3, 4) == (1, 2, 3, 4)
