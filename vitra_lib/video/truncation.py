"""Whether a file holds all the bytes that its container promises, from the outermost boxes alone (no decoding)."""

import struct
from pathlib import Path

_MP4_BOXES = set(b"ftyp moov mdat free skip wide moof mfra uuid sidx styp pnot".split())
_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"


def missing_bytes(path: Path) -> str:
    """One phrase that says what was cut off, or "" where nothing is known to be missing.

    Covers mp4/mov (boxes that end after the file does, or media without an index) and matroska/webm with a
    known length; other containers don't promise one.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[4:8] in _MP4_BOXES:
            return _mp4(file, size)
        if head[:4] == _EBML:
            return _matroska(file, size)
    return ""


def _mp4(file, size: int) -> str:
    """Walk the outermost boxes: 32-bit length, 4 letters; length 1 = a 64-bit one follows, 0 = to the end."""
    seen = set()
    position = 0
    while position + 8 <= size:
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        if name not in _MP4_BOXES and not seen:
            return ""
        if length == 1:
            wide = file.read(8)
            if len(wide) < 8:
                return "its data end inside a header"
            length = struct.unpack(">Q", wide)[0]
        elif length == 0:
            length = size - position
        if length < 8:
            break
        seen.add(name)
        if position + length > size and name in _MP4_BOXES:
            return f"its '{name.decode()}' part should end at byte {position + length} and the file has {size}"
        position += length
    if b"moov" not in seen:
        return "its index ('moov') is missing, as after a recording or a copy that was interrupted"
    return ""


def _matroska(file, size: int) -> str:
    """The EBML header, then one Segment whose length says where the file must end (all ones = unknown)."""
    file.seek(4)
    header = _vint(file)
    if header is None:
        return ""
    start = file.tell() + header
    file.seek(start)
    if file.read(4) != _MATROSKA_SEGMENT:
        return "its data end inside the header" if start + 4 > size else ""
    length = _vint(file)
    end = file.tell() + length if length is not None else 0
    return f"it should have {end} bytes and has {size}" if end > size else ""


def _vint(file) -> int | None:
    """An EBML length: the leading zeros of the first byte give the number of bytes; None = unknown or unreadable."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    extra = 8 - first[0].bit_length()
    rest = file.read(extra)
    if len(rest) < extra:
        return None
    value = int.from_bytes(bytes([first[0] & ((1 << (7 - extra)) - 1)]) + rest, "big")
    return None if value == (1 << (7 * (extra + 1))) - 1 else value
