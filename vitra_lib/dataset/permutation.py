"""Permutations that are computed, not stored: where does position x of a shuffle of [0, size) lead?

A shuffled list of 26 million samples takes 200 MB per process and must be made anew for each epoch. Here a key and a
position give the element in constant memory, and any process can compute any part of the order by itself. The
permutation is a Feistel network on the grid of a = ceil(sqrt(size)) by b = ceil(size / a) cells: the two coordinates
are changed in turn by a hash of the other one, which can always be undone, so no two positions meet. The grid has
fewer than a cells too many; a position that lands on one of them is sent on until it lands inside ("cycle walking").
"""

import numpy as np
from jaxtyping import Int, UInt64

from vitra_lib.core.errors import BadInput

_ROUNDS = 16  # with 8 some orders of five elements come out several times as often as others
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def derive_key(*parts: int) -> int:
    """One 64-bit key out of several whole numbers; another order of them gives another key."""
    key = 0
    for part in parts:
        key = int(_mixed(np.array([(key ^ (int(part) & _WORD)) + _GOLDEN & _WORD], np.uint64))[0])
    return key


def derive_keys(key: int, numbers: Int[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """`derive_key(…, number)` for many last numbers at once; `key` is what the parts before them gave."""
    return _mixed((np.uint64(key) ^ numbers.astype(np.uint64)) + np.uint64(_GOLDEN))


def permute(
    x: Int[np.ndarray, " n"], size: Int[np.ndarray, " n"], key: UInt64[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Element at position `x` of the permutation of [0, size) that `key` names; each entry has its own size and key.

    Args:
        x: (n,) positions, 0 <= x < size.
        size: (n,) number of elements.
        key: (n,) 64-bit keys.

    Returns:
        (n,) elements in [0, size), one to one for fixed size and key.

    Raises:
        BadInput: a position is outside its permutation.
    """
    if ((x < 0) | (x >= size)).any():
        raise BadInput("A position outside [0, size) has no place in a permutation.")
    sizes = size.astype(np.uint64)
    a = np.floor(np.sqrt(np.maximum(size - 1, 0))).astype(np.uint64) + np.uint64(1)
    b = (sizes + a - np.uint64(1)) // a
    y = _network(x.astype(np.uint64), a, b, key)
    outside = np.flatnonzero(y >= sizes)
    while len(outside):
        y[outside] = _network(y[outside], a[outside], b[outside], key[outside])
        outside = outside[y[outside] >= sizes[outside]]
    return y.astype(np.int64)


def permute_in_blocks(
    x: Int[np.ndarray, " n"], size: int, key: UInt64[np.ndarray, " n"], block: int, window: int
) -> Int[np.ndarray, " n"]:
    """A shuffle that stays near: `window` random blocks of `block` neighbours are mixed, then the next ones.

    Elements that lie in one block are read within one window, so a decoder, a row group or a fetched file serves many
    of them before it is given up. The cut into blocks is shifted by the key, so neighbours at a border change.

    Args:
        x: (n,) positions in [0, size).
        size: number of elements.
        key: (n,) 64-bit keys.
        block: elements per block.
        window: blocks that are mixed.

    Returns:
        (n,) elements in [0, size), one to one for a fixed key.
    """
    whole = size // block
    span = block * window
    number = x // span
    length = np.minimum(size - number * span, span)
    within = permute(x - number * span, length, _mixed(key + number.astype(np.uint64) + np.uint64(1)))
    y = number * span + within
    place = y // block
    moved = place.copy()
    inside = place < whole
    if inside.any():
        moved[inside] = permute(place[inside], np.full(int(inside.sum()), whole), _mixed(~key[inside]))
    shift = (_mixed(key) % np.uint64(size)).astype(np.int64)
    return (moved * block + y % block + shift) % size


def _network(
    x: UInt64[np.ndarray, " n"],
    a: UInt64[np.ndarray, " n"],
    b: UInt64[np.ndarray, " n"],
    key: UInt64[np.ndarray, " n"],
) -> UInt64[np.ndarray, " n"]:
    left, right = x // b, x % b
    for number in range(_ROUNDS):
        key = key + np.uint64(_GOLDEN)
        if number % 2:
            right = (right + _mixed(left ^ key) % b) % b
        else:
            left = (left + _mixed(right ^ key) % a) % a
    return left * b + right


def _mixed(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """The finaliser of splitmix64: every input bit changes about half of the output bits."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
