"""The wire format: equal to openpi's codec, and nothing else is let in."""

import numpy as np
import pytest
from serving_makers import bad_messages, observation

from robot.serving.policies import EchoPolicy, read_observation
from robot.serving.protocol import DTYPES, BadMessage, Refusal, WireLimits, decode, encode, read_refusal
from vitra_lib.core.errors import BadInput

# What openpi's codec writes for {"a": float32 [[1, 2]], "b": np.int16(-3), "c": [True, None, "é", -40, 70000, 0.5]}.
FROZEN = bytes.fromhex(
    "83a16184c40b5f5f6e6461727261795f5fc3c40464617461c4080000803f00000040c4056474797065a33c6634c4057368617065920102"
    "a16283c40d5f5f6e7067656e657269635f5fc3c40464617461fdc4056474797065a33c6932"
    "a16396c3c0a2c3a9d0d8ce00011170cb3fe0000000000000"
)
VALUE = {"a": np.array([[1, 2]], np.float32), "b": np.int16(-3), "c": [True, None, "é", -40, 70000, 0.5]}


def everything() -> dict:
    """A value of every kind and size class."""
    arrays = {f"d{name}": np.arange(6).reshape(2, 3).astype(name) for name in DTYPES}
    lengths = {f"s{n}": "x" * n for n in (0, 31, 32, 255, 256, 70_000)}
    lengths |= {f"b{n}": b"y" * n for n in (0, 255, 256, 70_000)}
    numbers = [0, 127, 128, -1, -32, -33, 255, 256, 65_535, 65_536, 2**32, 2**63, 2**64 - 1, -(2**31), -(2**63)]
    return arrays | lengths | {"numbers": numbers, "list": list(range(20)), "map": {str(i): i for i in range(20)}} | {
        "scalars": [np.dtype(name).type(1) for name in DTYPES], "none": np.zeros((0, 3)), "float": [1.5, float("inf")],
        "big endian": np.arange(3, dtype=">i4"), "strided": np.arange(10)[::2], "zero-d": np.array(3.0),
    }  # fmt: skip


def test_frozen_bytes_of_openpi_are_read() -> None:
    np.testing.assert_equal(decode(FROZEN), VALUE)
    np.testing.assert_equal(decode(encode(VALUE)), VALUE)


def test_every_kind_of_value_comes_back() -> None:
    value = everything()
    back = decode(encode(value))
    np.testing.assert_equal(back, value)
    assert all(back[f"d{name}"].dtype.str == name for name in DTYPES)
    assert not back["d<f4"].flags.owndata and not back["d<f4"].flags.writeable  # a view into the message


def test_both_directions_agree_with_openpis_own_codec() -> None:
    theirs = pytest.importorskip("openpi_client.msgpack_numpy", reason="openpi-client isn't installed")
    value = everything()
    del value["big endian"]
    np.testing.assert_equal(decode(theirs.packb(value)), value)
    np.testing.assert_equal(theirs.unpackb(encode(value)), value)


@pytest.mark.parametrize("kind", sorted(bad_messages()))
def test_bad_messages_are_one_sentence(kind: str) -> None:
    message = bad_messages()[kind]
    with pytest.raises(BadInput) as caught:
        if isinstance(message, str):
            raise BadMessage("a text frame is refused by the server itself")
        content = decode(message)
        if not isinstance(content, dict):
            raise BadMessage("not a map")
        # Numbers and deadlines are the server's to read; here they are names that no observation has.
        read_observation(content, 36)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_control_a_good_observation_passes() -> None:
    read = EchoPolicy().prepare(decode(encode(observation(3))))
    assert read.image.shape == (224, 224, 3) and read.state[0] == 3


def test_random_damage_never_raises_anything_else() -> None:
    rng = np.random.default_rng(0)
    whole = np.frombuffer(encode(observation(0, side_px=8)), np.uint8)
    passed = 0
    for _ in range(3000):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), rng.integers(1, 4))] = rng.integers(0, 256)
        try:
            content = decode(damaged.tobytes())
            passed += isinstance(content, dict)
        except BadMessage:
            continue
    assert 0 < passed < 3000  # damage to pixels alone can't be seen; damage to the frame is


def test_limits_hold_before_anything_is_allocated() -> None:
    import tracemalloc

    kinds = ("huge list", "huge map", "huge string", "many values", "huge array", "deep")
    bombs = [bad_messages()[kind] for kind in kinds]
    nested = b"\xdd\x00\x00\x07\x00" * 8  # lists that each announce 1,792 members
    tracemalloc.start()
    for bomb in [*bombs, nested]:
        with pytest.raises(BadMessage):
            decode(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000
    with pytest.raises(BadMessage, match="at most 10"):
        decode(encode("x" * 20), WireLimits(message_bytes=10))


@pytest.mark.parametrize("value", [object(), {1: 2}, np.array([object()]), np.array(["a"]), 1 << 65, 1j, {1, 2}])
def test_what_can_not_be_sent_is_refused(value: object) -> None:
    with pytest.raises(BadInput):
        encode(value)


def test_refusals_come_back_and_plain_text_becomes_one() -> None:
    refusal = Refusal("expired", "Too old.", 7)
    assert read_refusal(refusal.to_text()) == refusal
    assert read_refusal("Traceback (most recent call last): …").code == "internal"
    assert read_refusal('{"error": 3}').code == "internal"


def test_a_prompt_is_an_instruction_and_an_absent_hand_may_be_nan() -> None:
    asked = observation()
    asked["prompt"] = asked.pop("instruction")
    asked["hands"], asked["state"] = np.array([False, True]), np.array([np.nan] * 18 + [1.0] * 18)
    read = read_observation(asked, 36)
    assert read.instruction == asked["prompt"] and not read.state[:18].any() and (read.state[18:] == 1).all()
    with pytest.raises(BadInput, match="both"):
        read_observation(asked | {"instruction": "x"}, 36)
