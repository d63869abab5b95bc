"""Foreign pickles: plain data comes back equal, anything else is refused and nothing in it runs."""

import collections
import io
import os
import pickle
import pickletools
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from vitra_lib.core.errors import BadInput, UnsafePickle
from vitra_lib.core.pickles import ForeignObject, load_npy_object, load_npz, load_pickle, loads

PLAIN = {
    "floats": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "words": np.array(["ab", "cde"]),
    "objects": np.array([{"x": np.float32(1.5)}, None, [np.arange(2)]], dtype=object),
    "empty": np.zeros((0, 3)),
    "big_endian": np.arange(5, dtype=">i4"),
    "zero_d": np.array(3.0),
    "flag": np.bool_(True),
    "scalar": np.int64(-7),
    "set": {1, 2},
    "ordered": collections.OrderedDict(b=1, a=2),
    "bytes": b"\x00\xff",
    "complex": 1 + 2j,
    "list": [("pick", (0, 5))],
}


def equal(a: object, b: object) -> bool:
    """Deep equality that looks at types, dtypes and memory order."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray):
        same = a.dtype == b.dtype and a.shape == b.shape and a.flags.f_contiguous == b.flags.f_contiguous
        return same and (all(map(equal, a, b)) if a.dtype == object and a.ndim else np.array_equal(a, b))
    return a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back_equal(protocol: int) -> None:
    data = pickle.dumps(PLAIN, protocol)
    assert equal(loads(data, "plain"), PLAIN)
    for other in (b"numpy._core", b"numpy.core "):  # NumPy 2 and NumPy 1 spell their modules differently
        if protocol == 0 and other == b"numpy._core":
            assert equal(loads(data.replace(b"numpy.core.", b"numpy._core."), "renamed"), PLAIN)


def test_cycles_and_shared_parts_survive() -> None:
    array = np.arange(3)
    value: dict = {"a": array, "b": array}
    value["self"] = value
    loaded = loads(pickle.dumps(value), "cycle")
    assert loaded["self"] is loaded and loaded["a"] is loaded["b"] and loaded["a"].flags.writeable


def test_a_0_d_object_file_gives_the_object(tmp_path: Path) -> None:
    np.save(tmp_path / "episode.npy", PLAIN, allow_pickle=True)
    assert equal(load_npy_object(tmp_path / "episode.npy"), PLAIN)


def test_the_official_episode_reads_the_same_as_with_numpy(shared_data: Path) -> None:
    path = next((shared_data / "vitra_ego4d_episode").glob("*.npy"))
    assert equal(load_npy_object(path), np.load(path, allow_pickle=True).item())


def test_npz_with_numbers_words_and_objects(tmp_path: Path) -> None:
    ids = np.array(["ep_1", "ep_2"], dtype=object)
    np.savez(tmp_path / "index.npz", pairs=np.arange(4).reshape(2, 2), ids=ids, words=np.array(["x"]))
    loaded = load_npz(tmp_path / "index.npz")
    assert set(loaded) == {"pairs", "ids", "words"}
    assert equal(loaded["ids"], ids) and loaded["pairs"].tolist() == [[0, 1], [2, 3]] and loaded["words"][0] == "x"


def test_classes_of_python_2_pickles_become_records() -> None:
    """As MANO's file is made: copy_reg, a foreign class, an array with its bytes in a Python 2 string."""
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    array += b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    array += b"I00\nS'\\x00\\x00\\x80?\\x00\\x00\\x00@'\ntb"
    data = b"(dS'v'\nccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR(dS'x'\n" + array + b"sbs."
    loaded = loads(data, "mano", allow=("chumpy.ch.Ch",), encoding="latin1")
    assert isinstance(loaded["v"], ForeignObject) and loaded["v"].name == "Ch"
    assert loaded["v"].state["x"].tolist() == [1.0, 2.0] and loaded["v"].state["x"].dtype == np.float32
    with pytest.raises(UnsafePickle):
        loads(data, "mano", encoding="latin1")


class Evil:
    """Pickles to a call of `function`."""

    def __init__(self, function: object, *args: object) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple:
        return self.call


def g(module: str, name: str) -> bytes:
    """Opcode that puts a global on the stack."""
    return f"c{module}\n{name}\n".encode()


ARRAY = g("numpy.core.multiarray", "_reconstruct") + b"(" + g("numpy", "ndarray") + b"(K\x00tC\x01btR"
F8 = g("numpy", "dtype") + b"(X\x02\x00\x00\x00f8\x89\x88tR"
OBJ = g("numpy", "dtype") + b"(X\x02\x00\x00\x00O8\x89\x88tR"


def forged() -> dict[str, bytes]:
    """Malicious pickles; those that could run something would make the file `ran`."""
    touch = "open('ran', 'w').close()"
    nested = Evil(getattr, Evil(__import__, "os"), "system")
    cases: dict[str, bytes] = {
        "os.system": pickle.dumps(Evil(os.system, "touch ran")),
        "eval": pickle.dumps(Evil(eval, touch)),
        "exec": pickle.dumps(Evil(exec, touch)),
        "open": pickle.dumps(Evil(open, "ran", "w")),
        "in an object array": pickle.dumps(np.array([Evil(os.system, "touch ran"), 1], dtype=object)),
        "as a key": pickle.dumps({("a", 1): Evil(os.system, "touch ran")}),
        "nested reduce": pickle.dumps(Evil(map, nested, ["touch ran"])),
        "after good data": pickle.dumps([np.arange(100), "x", Evil(os.system, "touch ran")]),
        "numpy.fromfile": pickle.dumps(Evil(np.fromfile, "/etc/hostname")),
        "numpy.save": pickle.dumps(Evil(np.save, "ran", 1)),
        "numpy.load": pickle.dumps(Evil(np.load, "ran")),
        "numpy.memmap": pickle.dumps(Evil(np.memmap, "ran", "u1", "w+", 0, (8,))),
        "subprocess by INST": b"(S'touch ran'\nios\nsystem\n.",
        "subprocess by OBJ": b"(" + g("os", "system") + b"S'touch ran'\no.",
        "persistent id": b"Pos.system\n.",
        "extension code": b"\x82\x01.",
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0bctypeslib.x\x93.",
        "hidden in memo": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93\x8c\x09touch ran\x85R.",
        "patching a builder": g("numpy", "dtype") + b"}(X\x01\x00\x00\x00xK\x01ub.",
        "patching a builder's slots": g("numpy", "dtype") + b"(N}X\x06\x00\x00\x00_buildK\x01stb.",
        "calling ndarray": g("numpy", "ndarray") + b"((K\x08ttR.",
        "array of another class": g("numpy.core.multiarray", "_reconstruct")
        + b"("
        + g("builtins", "set")
        + b"(K\x00tC\x01btR.",
        "dtype with fields": pickle.dumps(np.zeros(2, dtype=[("a", "f8"), ("b", "O")])),
        "dtype without size": g("numpy", "dtype") + b"(X\x02\x00\x00\x00S0\x89\x88tR.",
        "dtype by name": g("numpy", "dtype") + b"(X\x07\x00\x00\x00float64\x89\x88tR.",
        "dtype with a forged size": F8 + b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\x7fJ\xff\xff\xff\xffK\x00tb.",
        "object pointers from bytes": ARRAY + b"(K\x01K\x01\x85" + OBJ + b"\x89C\x08AAAAAAAAtb.",
        "shape larger than content": ARRAY + b"(K\x01J\x00\x00\x00\x7f\x85" + F8 + b"\x89C\x08AAAAAAAAtb.",
        "negative shape": ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + F8 + b"\x89C\x08AAAAAAAAtb.",
        "unfinished array": ARRAY + b".",
        "scalar with foreign bytes": g("numpy.core.multiarray", "scalar") + b"(" + F8 + b"C\x04AAAAtR.",
        "scalar of objects": g("numpy.core.multiarray", "scalar") + b"(" + OBJ + b"C\x08AAAAAAAAtR.",
        "memo bomb": b"\x80\x02Nr" + struct.pack("<I", 2**31 - 1) + b".",
        "memo bomb in text": b"Np2000000000\n.",
        "deep nest": b"(" * 20_000 + b"l" * 20_000 + b".",
        "set of a huge range": pickle.dumps(Evil(set, range(10**12))),
        "bytes of a huge count": pickle.dumps(Evil(bytes, 10**12)),
        "bytearray of a huge count": pickle.dumps(Evil(bytearray, 10**12)),
    }
    return cases


@pytest.mark.parametrize("name", list(forged()))
def test_a_malicious_pickle_is_refused_and_nothing_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(forged()[name])
    with pytest.raises(UnsafePickle) as caught:
        load_pickle("evil.pkl")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300
    assert os.listdir(tmp_path) == ["evil.pkl"]


@pytest.mark.parametrize("name", ["os.system", "eval", "exec", "open", "in an object array", "hidden in memo"])
def test_control_python_itself_would_run_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(forged()[name])
    assert os.listdir(tmp_path) == ["ran"]


def test_a_malicious_member_of_an_npz_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Evil(os.system, "touch ran")], dtype=object), allow_pickle=True)
    with zipfile.ZipFile("evil.npz", "w") as archive:
        archive.writestr("ids.npy", buffer.getvalue())
    with pytest.raises(UnsafePickle, match="system"):
        load_npz("evil.npz")
    assert os.listdir(tmp_path) == ["evil.npz"]


@pytest.mark.parametrize("length", [0, 1, 20, 200, -1])
def test_a_truncated_file_is_bad_input(length: int, tmp_path: Path) -> None:
    np.save(tmp_path / "whole.npy", PLAIN, allow_pickle=True)
    data = (tmp_path / "whole.npy").read_bytes()
    (tmp_path / "cut.npy").write_bytes(data[:length])
    with pytest.raises(BadInput, match=r"cut\.npy"):
        load_npy_object(tmp_path / "cut.npy")


@pytest.mark.parametrize("content", [b"hello, I am a text", b"\x93NUMPY\x01\x00\xff\xff", pickle.dumps(PLAIN)[:-9]])
def test_other_files_are_bad_input(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    for reader in (load_npy_object, load_npz, load_pickle):
        with pytest.raises(BadInput, match=r"a\.npy"):
            reader(tmp_path / "a.npy")
    with pytest.raises(BadInput, match="Can't read"):
        load_pickle(tmp_path / "absent.pkl")


def test_numbers_are_not_taken_for_objects(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(BadInput, match=r"numpy\.load"):
        load_npy_object(tmp_path / "a.npy")


def test_every_builder_is_needed_by_plain_data() -> None:
    """The list of admitted globals is short: a pickle of all the plain data uses nothing else."""
    used = set()
    for protocol in (2, 5):
        for opcode, argument, _ in pickletools.genops(pickle.dumps(PLAIN, protocol)):
            used |= {argument.split(" ")[1]} if opcode.name == "GLOBAL" else set()
    assert {"_reconstruct", "dtype", "ndarray", "scalar", "OrderedDict", "set", "encode"} <= used
