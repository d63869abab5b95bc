"""Small videos whose every frame says its own number in black and white blocks, for tests of reading and writing."""

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BLOCK = 16
COLUMNS, ROWS = 4, 3
WIDTH, HEIGHT = COLUMNS * BLOCK, ROWS * BLOCK


def numbered_image(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(height, width, 3): bit k of `number` is block k (row by row, white = 1), so the picture has one right way up."""
    bits = [(number >> k) & 1 for k in range(COLUMNS * ROWS)]
    small = np.array(bits, np.uint8).reshape(ROWS, COLUMNS) * 200 + 25
    rows = np.arange(height) * ROWS // height
    columns = np.arange(width) * COLUMNS // width
    return np.repeat(small[rows][:, columns, None], 3, axis=2)


def number_in(image: np.ndarray) -> int:
    """The number that an upright frame shows, whatever its size and however hard it was compressed."""
    height, width = image.shape[:2]
    rows = [(2 * r + 1) * height // (2 * ROWS) for r in range(ROWS)]
    columns = [(2 * c + 1) * width // (2 * COLUMNS) for c in range(COLUMNS)]
    bits = [int(image[r, c].mean() > 125) for r in rows for c in columns]
    return sum(bit << k for k, bit in enumerate(bits))


def make_video(
    path: Path,
    count: int = 40,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 30),
    size: tuple[int, int] = (WIDTH, HEIGHT),
    quarter_turns: int = 0,
    pix_fmt: str = "yuv420p",
) -> Path:
    """Encode frames 0, 1, … whose stored picture is the numbered one turned counter-clockwise by quarter turns."""
    width, height = size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=round(1 / time_base) if time_base.denominator < 1000 else 30)
        stored = np.rot90(numbered_image(0, width, height), quarter_turns)
        stream.width, stream.height, stream.pix_fmt = stored.shape[1], stored.shape[0], pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.options = options or {}
        for i in range(count):
            image = np.ascontiguousarray(np.rot90(numbered_image(i, width, height), quarter_turns))
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = i if pts is None else int(pts[i])
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turn_clockwise(path: Path, quarter_turns: int) -> None:
    """Write a display matrix into an mp4's track header, as phones do."""
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns % 4]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", a * one, b * one, 0, -b * one, a * one, 0, 0, 0, 1 << 30)
    path.write_bytes(bytes(data))


def hide_first_frames(path: Path, ticks: int) -> None:
    """Move the start of an mp4's edit list `ticks` of the track's clock later."""
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4 + 8
    duration, start = struct.unpack(">Ii", data[at : at + 8])
    data[at : at + 8] = struct.pack(">Ii", duration, start + ticks)
    path.write_bytes(bytes(data))


def make_sound(path: Path) -> Path:
    """A second of silence: a file with audio and no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
