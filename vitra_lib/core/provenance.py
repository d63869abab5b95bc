"""Where a result comes from: state of the code, versions of the packages, digests of the inputs, the device."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from vitra_lib import __version__
from vitra_lib.core.devices import describe_device
from vitra_lib.core.files import sha256_of

_SHOWN = ("torch", "transformers", "numpy", "scipy", "opencv-python-headless", "mediapipe", "av")


@dataclass(frozen=True)
class GitState:
    """State of the checkout.

    Attributes:
        sha: commit, or None outside a repository or before the first commit.
        dirty: True when tracked files differ from that commit or new ones are not ignored; None when unknown.
        diff_sha256: digest of the difference, None when clean or unknown.
    """

    sha: str | None
    dirty: bool | None
    diff_sha256: str | None


def git_state(folder: str | Path) -> GitState:
    """State of the git checkout that `folder` belongs to; everything None when there is none."""
    status = _git(folder, "status", "--porcelain=v1", "-z")
    if status is None:
        return GitState(None, None, None)
    head = _git(folder, "rev-parse", "--verify", "-q", "HEAD")
    sha = head.decode().strip() if head else None
    if not status:
        return GitState(sha, False, None)
    diff = _git(folder, "diff", "HEAD", "--binary") if sha else b""
    return GitState(sha, True, hashlib.sha256(status + (diff or b"")).hexdigest())


def git_diff(folder: str | Path) -> str:
    """The difference between tracked files and the last commit, as text; "" when there is none."""
    return (_git(folder, "diff", "HEAD") or b"").decode("utf-8", "replace")


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """Name and version of every installed package, sorted by name."""
    found = {
        d.metadata["Name"].lower().replace("_", "-"): d.version for d in metadata.distributions() if d.metadata["Name"]
    }
    return dict(sorted(found.items()))


def packages_sha256() -> str:
    """Digest of `packages()`."""
    return hashlib.sha256("\n".join(f"{name}=={version}" for name, version in packages().items()).encode()).hexdigest()


def environment() -> dict[str, str]:
    """The environment block of a record: Python, package digest, device."""
    return {"python": platform.python_version(), "packages_sha256": packages_sha256(), "device": describe_device()}


def input_digests(inputs: Mapping[str, str | Path | None]) -> dict[str, str | None]:
    """Digest per named input; None for one that is not there."""
    return {
        name: f"sha256:{sha256_of(path)}" if path is not None and Path(path).exists() else None
        for name, path in inputs.items()
    }


def banner() -> str:
    """Versions and device in a few words, to be printed at the top of a notebook."""
    installed = packages()
    shown = [f"{name} {installed[name]}" for name in _SHOWN if name in installed]
    versions = f"vitra-lab {__version__} · Python {platform.python_version()} · " + " · ".join(shown)
    return f"{versions}\ndevice: {describe_device()}"


def _git(folder: str | Path, *arguments: str) -> bytes | None:
    """Output of git, or None when git or the repository is missing."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
