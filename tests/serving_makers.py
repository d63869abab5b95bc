"""A policy server for tests and benchmarks, observations whose answers are known, and messages that are none.

    python tests/serving_makers.py --options '{"port": 0}'

serves the echo policy in a process of its own until its standard input is closed, for the tests and the benchmark.
"""

import argparse
import asyncio
import json
import os
import pickle
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from robot.serving.background import BackgroundServer  # noqa: E402
from robot.serving.batching import BatchingConfig  # noqa: E402
from robot.serving.policies import EchoPolicy  # noqa: E402
from robot.serving.protocol import encode  # noqa: E402

INSTRUCTION = "Left hand: None. Right hand: Pick up the cup."


def observation(client: int = 0, turn: int = 0, side_px: int = 224, state_dim: int = 36) -> dict[str, Any]:
    """An observation that no other client and turn has."""
    rng = np.random.default_rng((client, turn % 7))
    return {
        "image": rng.integers(0, 256, (side_px, side_px, 3), dtype=np.uint8),
        "instruction": INSTRUCTION,
        "fov_rad": np.array([1.2, 0.9]),
        "state": np.array([client, turn, *range(state_dim - 2)], np.float32),
        "hands": np.array([True, True]),
    }


def is_right(asked: dict[str, Any], actions: np.ndarray) -> bool:
    """Whether the echo policy's answer belongs to an observation."""
    return np.array_equal(actions, EchoPolicy().echo(asked["image"], asked["state"].astype(np.float64)))


def bad_messages(seed: int = 0) -> dict[str, bytes | str]:
    """One of each kind of what is no good request; none may close the connection, stop the server or cost memory."""
    rng = np.random.default_rng(seed)
    good = observation(seed)
    whole = encode(good)

    def array(**fields: object) -> bytes:
        """A message with an array whose fields are changed."""
        parts = {"data": b"\0" * 12, "dtype": "|u1", "shape": [2, 2, 3]} | fields
        body = b"\x81\xa5image\x84\xc4\x0b__ndarray__\xc3"
        return body + b"".join(b"\xc4" + bytes([len(n)]) + n.encode() + encode(v) for n, v in parts.items())

    def without(name: str, **others: object) -> bytes:
        return encode({k: v for k, v in good.items() if k != name} | others)

    return {
        "empty": b"",
        "noise": rng.bytes(300),
        "text frame": "hello",
        "cut short": whole[: int(rng.integers(1, len(whole)))],
        "goes on": whole + b"\xc0",
        "pickle": pickle.dumps({"image": [1, 2]}),
        "not a map": encode([1, 2, 3]),
        "extension type": b"\x81\xa1a\xd4\x01\x00",
        "unused code": b"\x81\xa1a\xc1",
        "integer key": b"\x81\x01\x02",
        "doubled key": b"\x82\xa1a\x01\xa1a\x02",
        "not utf-8": b"\x81\xa1a\xa2\xff\xfe",
        "huge list": b"\xdd" + struct.pack(">I", 0xFFFFFFFF),
        "huge map": b"\xdf" + struct.pack(">I", 0xFFFFFFFF),
        "huge string": b"\x81\xdb" + struct.pack(">I", 0xFFFFFFFF),
        "deep": b"\x81\xa1a" + b"\x91" * 5000 + b"\xc0",
        "many values": b"\x81\xa1a\xdd" + struct.pack(">I", 100_000) + b"\xc0" * 100_000,
        "object array": array(dtype="|O"),
        "structured array": array(dtype="|V12"),
        "text array": array(dtype="<U3"),
        "huge array": array(shape=[1 << 40, 1 << 40]),
        "negative shape": array(shape=[-1, 12]),
        "float shape": array(shape=[2.0, 2.0, 3.0]),
        "wrong length": array(shape=[3, 3, 3]),
        "marker false": array().replace(b"\xc3", b"\xc2", 1),
        "no truth value": array(dtype="|b1", data=b"\x07" * 12),
        "no image": without("image"),
        "no instruction": without("instruction"),
        "unknown name": encode(good | {"wrist_image": 1}),
        "image of floats": encode(good | {"image": np.zeros((32, 32, 3))}),
        "grey image": encode(good | {"image": np.zeros((32, 32), np.uint8)}),
        "long state": encode(good | {"state": np.zeros(99)}),
        "NaN state": encode(good | {"state": np.full(36, np.nan)}),
        "wide fov": encode(good | {"fov_rad": np.array([9.0, 1.0])}),
        "no hands": encode(good | {"hands": np.array([False, False])}),
        "bad seq": encode(good | {"seq": -1}),
        "bad deadline": encode(good | {"deadline_s": float("nan")}),
        "bad seed": encode(good | {"seed": "x"}),
    }


class SlowPolicy(EchoPolicy):
    """An echo that costs time: per call and per observation, as networks do, and may be told to fail.

    Attributes:
        sizes: how many observations each call had.
    """

    def __init__(self, call_s: float = 0.02, each_s: float = 0.0) -> None:
        super().__init__()
        self._call_s, self._each_s = call_s, each_s
        self.sizes: list[int] = []

    def infer(self, prepared: Sequence[Any]) -> list[dict[str, Any]]:
        self.sizes.append(len(prepared))
        time.sleep(self._call_s + self._each_s * len(prepared))
        if any(one.seed == 666 for one in prepared):
            raise ZeroDivisionError("secret words of the policy")
        return super().infer(prepared)


class ServerThread(BackgroundServer):
    """A server in a thread of this process, on any free port: a context manager."""

    def __init__(self, policy: Any, **options: object) -> None:
        from robot.serving.server import ServerConfig

        super().__init__(policy, ServerConfig(**{"port": 0} | options))

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        assert not self.is_running


class ServerProcess:
    """The echo policy served in a process of its own: a context manager.

    Attributes:
        port: where it listens.
        pid: of the process.
    """

    def __init__(self, **options: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--options", json.dumps(options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.port, self.pid = int(self._process.stdout.readline()), self._process.pid

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._process.stdout.close()

    @property
    def pss_bytes(self) -> int:
        """Memory of the process, shared pages counted by their share."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    @property
    def cpu_s(self) -> float:
        """Processor time that the process has used [s]."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _serve_until_closed(options: dict[str, Any]) -> None:
    from robot.serving.server import PolicyServer, ServerConfig

    call_s, each_s = options.pop("call_s", 0.0), options.pop("each_s", 0.0)
    if "batching" in options:
        options["batching"] = BatchingConfig(**options["batching"])
    policy = SlowPolicy(call_s, each_s) if call_s or each_s else EchoPolicy()
    async with PolicyServer(policy, ServerConfig(**{"port": 0} | options)) as server:
        print(server.port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", default="{}", help="fields of the server's configuration, as JSON")
    asyncio.run(_serve_until_closed(json.loads(parser.parse_args().options)))


if __name__ == "__main__":
    main()
