"""What goes over the wire: msgpack with NumPy arrays as openpi's clients write them, and structured errors.

The decoder is our own and strict. It knows MessagePack's plain types and two extensions, which are maps with a marker:
{b"__ndarray__": True, b"data", b"dtype", b"shape"} and {b"__npgeneric__": True, b"data", b"dtype"} (openpi's wire
format). Nothing is allocated before the message is known to hold it, arrays are views into the message, the kinds of
numbers are a closed list, and there is no pickle, no object array and no extension type.
"""

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitra_lib.core.errors import BadInput

PROTOCOL = "openpi-websocket"
DEFAULT_PORT = 8000
# Names of what a request may carry besides its observation, and of what an answer carries besides its actions.
SEQUENCE, DEADLINE = "seq", "deadline_s"
_KINDS = {"u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8), "b": (1,)}
DTYPES = tuple(np.dtype(f"{kind}{size}").newbyteorder("<").str for kind, sizes in _KINDS.items() for size in sizes)
_LEGAL = frozenset(DTYPES)
_NUMBERS = {
    code: struct.Struct(f">{layout}")
    for code, layout in zip(range(0xCA, 0xD4), ("f", "d", "B", "H", "I", "Q", "b", "h", "i", "q"), strict=True)
}
_LENGTHS = {
    code: struct.Struct(layout) for first in (0xC4, 0xD9) for code, layout in enumerate((">B", ">H", ">I"), first)
}
_COUNTS = {0xDC: struct.Struct(">H"), 0xDD: struct.Struct(">I"), 0xDE: struct.Struct(">H"), 0xDF: struct.Struct(">I")}
_SIMPLE = {0xC0: None, 0xC2: False, 0xC3: True}
_MAX_DIMS = 6
_ARRAY_HEAD = b"\x84\xc4\x0b__ndarray__\xc3\xc4\x04data"


class BadMessage(BadInput):
    """Bytes that are no message of this protocol, or one beyond its limits."""


@dataclass(frozen=True)
class WireLimits:
    """How large a message may be.

    Attributes:
        message_bytes: whole message.
        items: values in it, all levels together; an array counts as one with its three fields.
        depth: levels of lists and maps.
    """

    message_bytes: int = 8 << 20
    items: int = 2048
    depth: int = 8

    def __post_init__(self) -> None:
        if min(self.message_bytes, self.items, self.depth) < 1:
            raise BadInput(f"The limits of a message must be at least 1, not {self}.")


def decode(message: bytes, limits: WireLimits | None = None) -> Any:
    """Read one message.

    Args:
        message: MessagePack bytes.
        limits: the largest legal message; the defaults when None.

    Returns:
        None, bool, int, float, str, bytes, list, dict with str keys, or arrays, which are read-only views of `message`.

    Raises:
        BadMessage: damaged, beyond the limits, or holding something that the protocol does not have.
    """
    limits = limits or WireLimits()
    if len(message) > limits.message_bytes:
        raise BadMessage(f"The message has {len(message)} bytes; at most {limits.message_bytes} are legal.")
    reader = _Reader(message, limits)
    value = reader.value(limits.depth)
    if reader.at != len(message):
        raise BadMessage(f"The message goes on for {len(message) - reader.at} bytes after its end.")
    return value


class _Reader:
    """A place in a message, and what may still be read from it."""

    def __init__(self, message: bytes, limits: WireLimits) -> None:
        self.message, self.at, self.items = message, 0, limits.items

    def value(self, depth: int) -> Any:
        """The value that starts here."""
        self.items -= 1
        if self.items < 0:
            raise BadMessage("The message holds too many values; send arrays, not lists of numbers.")
        code = self.byte()
        if code <= 0x7F:
            return code
        if 0xA0 <= code <= 0xBF:
            return self.text(code & 0x1F)
        if code == 0xC4:
            return self.take(self.byte())
        if code >= 0xE0:
            return code - 0x100
        if code in _SIMPLE:
            return _SIMPLE[code]
        if code in _NUMBERS:
            return self.unpack(_NUMBERS[code])
        if code in _LENGTHS:
            length = self.unpack(_LENGTHS[code])
            return self.text(length) if code >= 0xD9 else self.take(length)
        return self.container(code, depth)

    def container(self, code: int, depth: int) -> Any:
        """A list or a map."""
        if 0x80 <= code <= 0x9F:
            count = code & 0x0F
        elif code in _COUNTS:
            count = self.unpack(_COUNTS[code])
        else:
            raise BadMessage(f"The message holds the MessagePack type 0x{code:02x}, which this protocol does not have.")
        is_map = code <= 0x8F or code in (0xDE, 0xDF)
        if depth < 1:
            raise BadMessage("The message is nested too deeply.")
        if count * (2 if is_map else 1) > min(self.items, len(self.message) - self.at):
            raise BadMessage(f"The message announces {count} values that it can't or may not hold.")
        return self.map(count, depth - 1) if is_map else [self.value(depth - 1) for _ in range(count)]

    def map(self, count: int, depth: int) -> Any:
        """A dictionary, or the array that a marked one stands for."""
        found: dict[Any, Any] = {}
        for _ in range(count):
            key = self.value(0)
            if not isinstance(key, str | bytes):
                raise BadMessage(f"A key of the message is a {type(key).__name__}; legal are strings.")
            if key in found:
                raise BadMessage(f"The message holds the key {key[:40]!r} twice.")
            is_data = key == b"data" and b"__ndarray__" in found
            found[key] = self.blob() if is_data else self.value(depth)
        if b"__ndarray__" in found:
            return _array(found)
        if b"__npgeneric__" in found:
            return _scalar(found)
        if any(isinstance(key, bytes) for key in found):
            raise BadMessage("A key of the message is a byte string; legal are text strings.")
        return found

    def blob(self) -> Any:
        """The numbers of an array, not copied; any other value is returned as it is, to be refused by name."""
        code = self.message[self.at] if self.at < len(self.message) else 0
        if code not in (0xC4, 0xC5, 0xC6):
            return self.value(0)
        self.items -= 1
        self.at += 1
        length = self.unpack(_LENGTHS[code])
        start = self.at
        self.skip(length)
        return memoryview(self.message)[start : self.at]

    def text(self, length: int) -> str:
        """A UTF-8 string."""
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise BadMessage("A string of the message is not UTF-8.") from None

    def unpack(self, layout: struct.Struct) -> Any:
        """One number."""
        start = self.at
        self.skip(layout.size)
        return layout.unpack_from(self.message, start)[0]

    def take(self, count: int) -> bytes:
        """The next bytes."""
        start = self.at
        self.skip(count)
        return self.message[start : self.at]

    def byte(self) -> int:
        """The next byte."""
        self.skip(1)
        return self.message[self.at - 1]

    def skip(self, count: int) -> None:
        """Go on, if the message does."""
        self.at += count
        if self.at > len(self.message):
            raise BadMessage(f"The message ends early: {self.at - len(self.message)} bytes are missing.")


def _dtype(name: object) -> np.dtype:
    """A legal kind of number."""
    if not isinstance(name, str) or name not in _LEGAL:
        raise BadMessage(f"An array has the dtype {str(name)[:40]!r}; legal are {', '.join(DTYPES)}.")
    return np.dtype(name)


def _array(found: dict[Any, Any]) -> np.ndarray:
    """The array that a marked map stands for."""
    if found.keys() != {b"__ndarray__", b"data", b"dtype", b"shape"} or found[b"__ndarray__"] is not True:
        raise BadMessage("An array of the message must hold its marker, data, dtype and shape, and nothing else.")
    dtype, shape, data = _dtype(found[b"dtype"]), found[b"shape"], found[b"data"]
    if not isinstance(shape, list) or len(shape) > _MAX_DIMS or not all(type(n) is int and n >= 0 for n in shape):
        raise BadMessage(f"An array has the shape {str(shape)[:60]}; legal are up to {_MAX_DIMS} whole numbers >= 0.")
    if not isinstance(data, bytes | memoryview) or math.prod(shape) * dtype.itemsize != len(data):
        length = len(data) if isinstance(data, bytes | memoryview) else 0
        raise BadMessage(f"An array of shape {shape} and dtype {dtype.str} does not have {length} bytes.")
    if math.prod(shape) == 0:
        return np.zeros(_bounded(shape), dtype)
    array = np.frombuffer(data, dtype)
    if dtype.kind == "b" and array.view(np.uint8).max() > 1:
        raise BadMessage("An array of truth values holds numbers other than 0 and 1.")
    return array.reshape(shape)


def _bounded(shape: list[int]) -> list[int]:
    """The shape of an array without numbers; its other sizes must be ones that NumPy can multiply."""
    if max(shape) > 1 << 31:
        raise BadMessage(f"An array has the shape {shape}; that is too large.")
    return shape if math.prod(n for n in shape if n) < 1 << 31 else [0]


def _scalar(found: dict[Any, Any]) -> np.generic:
    """The NumPy number that a marked map stands for."""
    if found.keys() != {b"__npgeneric__", b"data", b"dtype"} or found[b"__npgeneric__"] is not True:
        raise BadMessage("A number of the message must hold its marker, data and dtype, and nothing else.")
    dtype, data = _dtype(found[b"dtype"]), found[b"data"]
    legal = {"b": bool, "u": int, "i": int, "f": float}[dtype.kind]
    if type(data) is not legal:
        raise BadMessage(f"A number of dtype {dtype.str} is given as {type(data).__name__}.")
    try:
        return dtype.type(data)
    except OverflowError:
        raise BadMessage(f"{data} does not fit into {dtype.str}.") from None


def encode(value: Any) -> bytes:
    """Write one message.

    Args:
        value: None, bool, int, float, str, bytes, list, tuple, dict with str keys, NumPy array or number.

    Returns:
        MessagePack bytes that openpi's clients and `decode` read.

    Raises:
        BadInput: something else, or an array of another kind of numbers.
    """
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Any, parts: list[bytes]) -> None:
    """Append the bytes of a value."""
    if value is None or value is True or value is False:
        parts.append(b"\xc0" if value is None else b"\xc3" if value else b"\xc2")
    elif isinstance(value, np.ndarray):
        array = _legal(value)
        parts.append(_ARRAY_HEAD)
        _write(array.tobytes(), parts)
        parts.append(b"\xc4\x05dtype")
        _write(array.dtype.str, parts)
        parts.append(b"\xc4\x05shape")
        _write(array.shape, parts)
    elif isinstance(value, np.generic):
        number = _legal(value)
        _write_map({b"__npgeneric__": True, b"data": number.item(), b"dtype": number.dtype.str}, parts)
    elif isinstance(value, int):
        parts.append(_integer(value))
    elif isinstance(value, float):
        parts.append(struct.pack(">Bd", 0xCB, value))
    elif isinstance(value, str):
        data = value.encode()
        parts += [_head(len(data), (0xA0, 32), (0xD9, 0xDA, 0xDB)), data]
    elif isinstance(value, bytes | memoryview):
        parts += [_head(len(value), None, (0xC4, 0xC5, 0xC6)), bytes(value)]
    elif isinstance(value, list | tuple):
        parts.append(_head(len(value), (0x90, 16), (None, 0xDC, 0xDD)))
        for item in value:
            _write(item, parts)
    elif isinstance(value, dict):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise BadInput(f"A message can't hold the key {wrong[0]!r}; legal are strings.")
        _write_map(value, parts)
    else:
        raise BadInput(f"A message can't hold a {type(value).__name__}; send numbers, strings, lists, dicts or arrays.")


def _write_map(fields: dict[Any, Any], parts: list[bytes]) -> None:
    parts.append(_head(len(fields), (0x80, 16), (None, 0xDE, 0xDF)))
    for key, item in fields.items():
        _write(key, parts)
        _write(item, parts)


def _legal(value: Any) -> Any:
    """The array or number in little-endian order, if its kind is legal."""
    if value.dtype.str in _LEGAL:
        return value
    little = value.dtype.newbyteorder("<")
    if little.str not in _LEGAL:
        raise BadInput(f"A message can't hold the dtype {value.dtype}; legal are {', '.join(DTYPES)}.")
    return value.astype(little)


def _integer(value: int) -> bytes:
    if 0 <= value < 128:
        return struct.pack(">B", value)
    if -32 <= value < 0:
        return struct.pack(">b", value)
    if not -(1 << 63) <= value < 1 << 64:
        raise BadInput(f"A message can't hold {value}; whole numbers have at most 64 bits.")
    return struct.pack(">BQ", 0xCF, value) if value >= 0 else struct.pack(">Bq", 0xD3, value)


def _head(length: int, short: tuple[int, int] | None, codes: tuple[int | None, int, int]) -> bytes:
    """The shortest head of a string, list or map."""
    if short is not None and length < short[1]:
        return bytes([short[0] | length])
    if codes[0] is not None and length < 1 << 8:
        return struct.pack(">BB", codes[0], length)
    return struct.pack(">BH", codes[1], length) if length < 1 << 16 else struct.pack(">BI", codes[2], length)


@dataclass(frozen=True)
class Refusal:
    """Why a request was not answered.

    Attributes:
        code: one of `CODES`.
        message: one sentence for a person.
        seq: number of the request, if it was understood that far.
        trace: a traceback, for those who asked the server to show it; "" otherwise.
    """

    code: str
    message: str
    seq: int | None = None
    trace: str = ""

    def to_text(self) -> str:
        """The text frame; openpi's clients raise an error of it."""
        content = {"code": self.code, "message": self.message, "seq": self.seq}
        return json.dumps({"error": content | ({"traceback": self.trace} if self.trace else {})})


def read_refusal(text: str) -> Refusal:
    """The refusal in a text frame; a server of another make sends plain text, which becomes the message."""
    try:
        content = json.loads(text)["error"]
        seq = content["seq"] if isinstance(content["seq"], int) else None
        return Refusal(str(content["code"]), str(content["message"]), seq, str(content.get("traceback", "")))
    except (ValueError, KeyError, TypeError):
        return Refusal("internal", text.strip()[-2000:])


CODES = {
    "bad_message": "the bytes are no message of the protocol",
    "bad_observation": "the observation lacks something, or has impossible values",
    "expired": "no answer could be ready before the request's deadline",
    "overloaded": "too many requests wait; try again later",
    "shutting_down": "the server is being stopped",
    "internal": "the policy failed; the server's log says why",
}
