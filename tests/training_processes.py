"""Starting `training_worker.py` in one or several processes, and reading what it logged."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parent


def run_workers(kind: str, folder: Path, steps: int, *options: str, processes: int = 2) -> list[int]:
    """Train in processes of their own; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = os.environ | {"PYTHONPATH": f"{_TESTS.parent}{os.pathsep}{_TESTS}", "OMP_NUM_THREADS": "1"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    command = [sys.executable, str(_TESTS / "training_worker.py"), kind, str(folder), str(steps), *options]
    started = [
        subprocess.Popen(command, env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)}, stderr=subprocess.DEVNULL)
        for rank in range(processes)
    ]
    try:
        return [process.wait(timeout=300) for process in started]
    finally:
        for process in started:
            process.kill()


def logged(folder: Path, name: str = "loss") -> dict[int, Any]:
    """A figure of every logged step."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}
