"""Inert stand-ins for the few globals that plain data in a pickle needs: each checks its arguments, none runs anything.

NumPy's own unpickling functions trust what they are given; a forged dtype or shape can crash them or read foreign
memory. So arrays, dtypes and scalars are first collected as plain Python values, checked against each other, and only
then built (`Resolver`).
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_BYTES = 1 << 30
_DTYPE = re.compile(r"[<>|=]?(?:[biufcSUVO]\d{0,9}|\?)\Z")


class Refused(Exception):
    """Why a pickle is not read."""


class ForeignObject:
    """An object of a class that isn't imported: what its pickle says, as plain data.

    Attributes:
        module, name: of the class.
        args: the arguments it would have been built with.
        state: what would have been its state (usually a dict), or None.
    """

    module = ""
    name = ""
    args: tuple
    state: Any

    def __new__(cls, *args: Any) -> "ForeignObject":
        self = super().__new__(cls)
        self.args, self.state = args, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"<foreign {self.module}.{self.name}>"


class Builder:
    """A callable without state: a pickle can call it, and do nothing else to it."""

    __slots__ = ("_build",)

    def __init__(self, build: Callable) -> None:
        object.__setattr__(self, "_build", build)

    def __call__(self, *args: Any) -> Any:
        return self._build(*args)

    def __setattr__(self, name: str, value: Any) -> None:
        raise Refused("the pickle tries to change a function")

    def __setstate__(self, state: Any) -> None:
        raise Refused("the pickle tries to change a function")


class _Dtype:
    """A dtype on its way: a simple type code and a byte order."""

    def __init__(self, code: Any = None, *flags: Any) -> None:
        code = code.decode("ascii") if isinstance(code, bytes) else code
        if not isinstance(code, str) or not _DTYPE.match(code):
            raise Refused(f"the pickle asks for the array type {str(code)[:40]!r}")
        self.dtype = np.dtype(code)
        if self.dtype.itemsize == 0:  # a thousand million elements of no bytes would pass every length check
            raise Refused("the pickle asks for an array type without size")

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, sub-array, names, fields, element size, alignment, flags[, metadata]); the element size
        # is -1 for numbers, and belongs to the type code for strings: a state that says otherwise is forged.
        if not isinstance(state, tuple) or not 8 <= len(state) <= 9 or any(part is not None for part in state[2:5]):
            raise Refused("the pickle asks for an array type with parts")
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise Refused("the pickle asks for an unknown byte order")
        if state[5] not in (-1, self.dtype.itemsize) or (len(state) == 9 and state[8]):
            raise Refused("the pickle asks for a forged array type")
        self.dtype = self.dtype.newbyteorder(order) if order in "<>" else self.dtype


class _Array:
    """An array on its way: checked by hand, and only then given to NumPy."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] | None = None
        self.dtype = np.dtype("u1")
        self.content: bytes | list = b""
        self.order = "C"

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise Refused("the pickle holds a forged array")
        _, shape, dtype, is_fortran, content = state
        self.fill(shape, dtype, "F" if is_fortran else "C", content)

    def fill(self, shape: Any, dtype: Any, order: str, content: Any) -> None:
        """Take shape, type and content if they agree with each other."""
        if isinstance(content, str):
            content = content.encode("latin1")  # bytes of a Python 2 pickle
        if not isinstance(shape, tuple) or len(shape) > 32 or not isinstance(dtype, _Dtype):
            raise Refused("the pickle holds a forged array")
        if not all(type(n) is int and 0 <= n <= MAX_BYTES for n in shape):
            raise Refused("the pickle holds an array of impossible shape")
        count = int(np.prod([int(n) for n in shape], dtype=object)) if shape else 1
        is_object = dtype.dtype.hasobject
        if not isinstance(content, list if is_object else bytes | bytearray):
            raise Refused("the pickle holds an array whose content does not fit its type")
        if len(content) != count * (1 if is_object else dtype.dtype.itemsize):
            raise Refused("the pickle holds an array whose content does not fit its shape")
        self.shape, self.dtype, self.order, self.content = shape, dtype.dtype, order, content

    def build(self, resolve: Callable[[Any], Any]) -> np.ndarray:
        """The real array; `resolve` turns the elements of an object array into real ones."""
        if self.shape is None:
            raise Refused("the pickle holds an unfinished array")
        if not self.dtype.hasobject:
            flat = np.frombuffer(bytes(self.content), self.dtype)
            return flat.reshape(self.shape, order=self.order).copy(order=self.order)
        flat = np.empty(len(self.content), object)
        for i, item in enumerate(self.content):
            flat[i] = resolve(item)
        return flat.reshape(self.shape, order=self.order)


@dataclass
class _Scalar:
    """A NumPy scalar on its way."""

    dtype: Any
    content: Any = b""

    def build(self) -> Any:
        content = self.content.encode("latin1") if isinstance(self.content, str) else self.content
        if not isinstance(self.dtype, _Dtype) or self.dtype.dtype.hasobject or not isinstance(content, bytes):
            raise Refused("the pickle holds a forged scalar")
        if len(content) != self.dtype.dtype.itemsize or not content:
            raise Refused("the pickle holds a scalar whose content does not fit its type")
        return np.frombuffer(content, self.dtype.dtype)[0]


class Resolver:
    """Replaces what is on its way by real arrays and scalars, each object once, cycles included."""

    def __init__(self) -> None:
        self._done: dict[int, tuple[Any, Any]] = {}  # the original is kept, so that its id stays taken

    def resolve(self, value: Any) -> Any:
        """`value` with everything below it real."""
        if value is None or isinstance(value, str | bytes | int | float | complex | bytearray):
            return value
        if id(value) not in self._done:
            self._done[id(value)] = (value, self._make(value))
        return self._done[id(value)][1]

    def _make(self, value: Any) -> Any:
        if isinstance(value, _Array):
            return value.build(self.resolve)
        if isinstance(value, _Dtype):
            return value.dtype
        if isinstance(value, _Scalar):
            return value.build()
        if isinstance(value, list | dict | ForeignObject):
            self._done[id(value)] = (value, value)  # before its parts, for it may hold itself
            if isinstance(value, list):
                value[:] = [self.resolve(item) for item in value]
            elif isinstance(value, dict):
                items = [(self.resolve(key), self.resolve(item)) for key, item in value.items()]
                value.clear()
                value.update(items)
            else:
                value.args, value.state = self.resolve(value.args), self.resolve(value.state)
            return value
        if isinstance(value, tuple | set | frozenset):
            return type(value)(self.resolve(item) for item in value)
        raise Refused(f"the pickle uses {type(value).__name__} as a value")


def _empty_array(kind: Any, *_: Any) -> _Array:
    if not (isinstance(kind, Builder) and kind._build is _not_callable):
        raise Refused("the pickle asks for an array of a foreign class")
    return _Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> _Array:
    if order not in ("C", "F") or axes is not None:
        raise Refused("the pickle holds an array of unknown memory order")
    array = _Array()
    array.fill(shape, dtype, order, content)
    return array


def _not_callable(*_: Any) -> Any:
    raise Refused("the pickle builds an array directly")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refused("the pickle holds forged bytes")
    return text.encode("latin1")


def _container(kind: Callable) -> Callable:
    def build(items: Any = ()) -> Any:
        if not isinstance(items, list | tuple | bytes):
            raise Refused("the pickle holds a forged container")
        return kind(items)

    return build


def _reconstructor(kind: Any, base: Any, state: Any = None) -> ForeignObject:
    if not (isinstance(kind, type) and issubclass(kind, ForeignObject)):
        raise Refused("the pickle builds an object of a foreign class")
    return kind()


BUILDERS: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _not_callable,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.multiarray", "scalar"): _Scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("collections", "OrderedDict"): _container(OrderedDict),
    ("builtins", "set"): _container(set),
    ("builtins", "frozenset"): _container(frozenset),
    ("builtins", "bytearray"): _container(bytearray),
    ("builtins", "bytes"): _container(bytes),
    ("builtins", "complex"): complex,
    ("_codecs", "encode"): _encode,
}
FOREIGN_BUILDERS: dict[tuple[str, str], Callable] = {
    ("copyreg", "_reconstructor"): _reconstructor,
    ("builtins", "object"): _not_callable,
}
BUILDERS |= FOREIGN_BUILDERS
