"""Reading other people's pickles without running anything in them.

A pickle is a small program. This reader admits only the handful of globals that plain data needs (NumPy arrays, dtypes
and scalars, ordered dicts, sets), and even those are not NumPy's own functions: each is replaced by an inert builder
(`vitra_lib.core.inert`). Every other global is refused. Classes that a caller names in `allow` become `ForeignObject`s:
records of what the pickle says about the object, never the class itself.
"""

import ast
import io
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vitra_lib.core.errors import BadInput, UnsafePickle
from vitra_lib.core.inert import BUILDERS, FOREIGN_BUILDERS, MAX_BYTES, Builder, ForeignObject, Refused, Resolver

__all__ = ["ForeignObject", "load_npy_object", "load_npz", "load_pickle", "loads"]

_MAX_HEADER = 10_000
_OBJECT_HEADER = {"descr", "fortran_order", "shape"}
_FORBIDDEN_OPCODES = {"PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEXT_BUFFER", "READONLY_BUFFER"}


def load_pickle(path: str | Path, allow: Iterable[str] = (), encoding: str = "ASCII") -> Any:
    """Read a pickle file of plain data.

    Args:
        path: the file.
        allow: dotted names of further classes ("chumpy.ch.Ch"); their objects come back as `ForeignObject`s.
        encoding: for strings of Python 2 pickles; "latin1" for those with NumPy arrays.

    Returns:
        Dicts, lists, tuples, sets, strings, numbers, NumPy arrays and scalars (and `ForeignObject`s).

    Raises:
        UnsafePickle: it asks for anything else; nothing in it was run.
        BadInput: the file isn't there, is larger than 1 GiB, or isn't a whole pickle.
    """
    path = Path(path)
    return loads(_read(path), path.name, allow, encoding)


def load_npy_object(path: str | Path) -> Any:
    """Read a `.npy` file of dtype object; a 0-d one, as the official episodes are, gives the object itself.

    Files of NumPy 1 and NumPy 2 are both read.

    Raises:
        UnsafePickle: it asks for more than plain data; nothing in it was run.
        BadInput: the file isn't there or isn't a whole `.npy` file of dtype object.
    """
    path = Path(path)
    return _npy_object(_read(path), path.name)


def load_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of a `.npz` file, those of dtype object (lists of names, say) through the safe reader.

    Raises:
        UnsafePickle: a member asks for more than plain data; nothing in it was run.
        BadInput: the file isn't there, isn't a whole `.npz` file, or unpacks to more than 1 GiB.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(io.BytesIO(_read(path))) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise BadInput(f"{path.name} unpacks to more than 1 GiB: it isn't an index or an annotation file.")
            members = {name.removesuffix(".npy"): archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise BadInput(f"{path.name} isn't a whole .npz file ({error}).") from error
    return {name: _npy_array(data, f"{path.name}:{name}") for name, data in members.items()}


def loads(data: bytes, name: str, allow: Iterable[str] = (), encoding: str = "ASCII") -> Any:
    """Like `load_pickle` for bytes in memory; `name` is what error messages call them."""
    foreign = frozenset(allow)
    _inspect(data, name)
    try:
        loaded = _Reader(io.BytesIO(data), foreign, encoding).load()
        return Resolver().resolve(loaded)
    except Refused as refused:
        raise UnsafePickle(f"{name}: {refused}; only plain data is read, and nothing in it was run.") from None
    except (MemoryError, RecursionError) as error:
        raise UnsafePickle(f"{name}: the pickle asks for too much memory or depth; nothing in it was run.") from error
    except Exception as error:  # a forged program can fail in any opcode, and each failure means the same
        raise BadInput(f"{name} isn't a whole pickle of plain data ({type(error).__name__}: {error}).") from error


def _inspect(data: bytes, name: str) -> None:
    """Walk the opcodes without running them: refuse extension codes, outside references and memo bombs."""
    try:
        for opcode, arg in _opcodes(data):
            if opcode.name in _FORBIDDEN_OPCODES:
                raise Refused(f"the pickle uses the instruction {opcode.name}")
            if isinstance(arg, int) and "PUT" in opcode.name and arg > len(data):
                raise Refused("the pickle asks for a huge memo table")
    except Refused as refused:
        raise UnsafePickle(f"{name}: {refused}; only plain data is read, and nothing in it was run.") from None
    except Exception as error:  # its readers raise many kinds, and each says that these bytes are no whole pickle
        raise BadInput(f"{name} isn't a whole pickle ({error}).") from error


def _opcodes(data: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """The instructions of a pickle with their arguments.

    Like `pickletools.genops`, except that it does not stumble over bytes in the text strings of Python 2.
    """
    stream = io.BytesIO(data)
    name = ""
    while name != "STOP":
        opcode = pickletools.code2op[stream.read(1).decode("latin1")]
        name = opcode.name
        if name == "STRING":
            yield opcode, stream.readline()
        else:
            yield opcode, opcode.arg.reader(stream) if opcode.arg else None


class _Reader(pickle.Unpickler):
    """Unpickler whose every global is an inert builder of its own."""

    def __init__(self, stream: io.BytesIO, foreign: frozenset[str], encoding: str) -> None:
        super().__init__(stream, encoding=encoding)
        self._foreign = foreign
        self._classes: dict[str, type] = {}

    def find_class(self, module: str, name: str) -> Any:
        dotted = f"{module}.{name}"
        if dotted in self._foreign:
            if dotted not in self._classes:
                self._classes[dotted] = type(name, (ForeignObject,), {"module": module, "name": name})
            return self._classes[dotted]
        if not _is_legal(module, name, self._foreign):
            raise Refused(f"the pickle asks for {dotted}")
        return Builder(BUILDERS[_modern(module), name])

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("the pickle refers to something outside itself")


def _modern(module: str) -> str:
    """Python 2 and NumPy 2 spell some modules differently."""
    renamed = {"__builtin__": "builtins", "copy_reg": "copyreg"}
    return renamed.get(module, module.replace("numpy._core.", "numpy.core."))


def _is_legal(module: str, name: str, foreign: frozenset[str]) -> bool:
    key = (_modern(module), name)
    return f"{module}.{name}" in foreign or (key in BUILDERS and (bool(foreign) or key not in FOREIGN_BUILDERS))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path.name} is larger than 1 GiB: it isn't an annotation or model file of this kind.")
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"Can't read {path}: {error.strerror or error}.") from error


def _split_npy(data: bytes, name: str) -> tuple[dict, int]:
    """Header and start of the content of a `.npy` file, read without `eval`."""
    try:
        if data[:6] != b"\x93NUMPY" or data[6] not in (1, 2, 3):
            raise ValueError("no .npy mark")
        start, size = (
            (10, struct.unpack_from("<H", data, 8)[0]) if data[6] == 1 else (12, *struct.unpack_from("<I", data, 8))
        )
        if size > _MAX_HEADER or start + size > len(data):
            raise ValueError("its header is cut off or too long")
        header = ast.literal_eval(data[start : start + size].decode("latin1" if data[6] < 3 else "utf-8"))
        if not isinstance(header, dict) or set(header) != _OBJECT_HEADER or not isinstance(header["shape"], tuple):
            raise ValueError("its header is not the usual one")
    except (ValueError, SyntaxError, IndexError, struct.error, MemoryError, RecursionError) as error:
        raise BadInput(f"{name} isn't a whole .npy file ({error}).") from error
    return header, start + size


def _npy_object(data: bytes, name: str) -> Any:
    header, start = _split_npy(data, name)
    if header["descr"] not in ("|O", "O"):
        raise BadInput(f"{name} holds numbers of type {header['descr']!r}, not an object: read it with numpy.load.")
    array = loads(data[start:], name)
    if not isinstance(array, np.ndarray) or array.dtype != object or array.shape != header["shape"]:
        raise BadInput(f"{name}: the header promises an object array of shape {header['shape']}, the content differs.")
    return array.item() if array.shape == () else array


def _npy_array(data: bytes, name: str) -> np.ndarray:
    header, _ = _split_npy(data, name)
    if header["descr"] in ("|O", "O"):
        value = _npy_object(data, name)
        if isinstance(value, np.ndarray):
            return value
        whole = np.empty((), object)
        whole[()] = value
        return whole
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError, MemoryError) as error:
        raise BadInput(f"{name} isn't a whole .npy array ({error}).") from error
