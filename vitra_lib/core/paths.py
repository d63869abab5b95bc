"""Where things are: the only file that knows the kit's folders."""

import os
from pathlib import Path

from vitra_lib.core.errors import MissingAsset


def repository() -> Path:
    """Folder of the checkout: the one that holds notebooks/, data/ and results/.

    Raises:
        MissingAsset: the library was installed without its checkout.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / "notebooks").is_dir() or not (folder / "data").is_dir():
        raise MissingAsset(
            "The notebooks, cards and sample are not beside the library: "
            "clone the vitra-lab repository and run `make env` in it."
        )
    return folder


def notebooks_folder() -> Path:
    """Folder of the numbered notebooks."""
    return repository() / "notebooks"


def cards_folder() -> Path:
    """Folder of the cards of licensed or optional assets."""
    return repository() / "data" / "cards"


def results_folder() -> Path:
    """Folder of records, tables and figures."""
    return repository() / "results"


def sample_folder() -> Path:
    """Folder of the committed sample clip with its truth."""
    return repository() / "data" / "sample"


def sample_video() -> Path:
    """The committed sample clip, rendered by the kit itself.

    Raises:
        MissingAsset: the file is not in the checkout.
    """
    path = sample_folder() / "sample.mp4"
    if not path.is_file():
        raise MissingAsset(
            "The sample clip data/sample/sample.mp4 is missing: restore it with `git checkout data/sample`."
        )
    return path


def cache_folder() -> Path:
    """Folder for what can be made again: `VITRA_CACHE`, else the user's cache folder."""
    given = os.environ.get("VITRA_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitra-lab"


def assets_folder() -> Path:
    """Folder into which users put licensed files: `VITRA_ASSETS`, else `assets` in the cache folder."""
    given = os.environ.get("VITRA_ASSETS")
    return Path(given).expanduser() if given else cache_folder() / "assets"


def run_folder() -> Path:
    """Folder of the running notebook's output: set by the runner; `results/executed/interactive` otherwise."""
    given = os.environ.get("VITRA_RUN_FOLDER")
    return Path(given) if given else results_folder() / "executed" / "interactive"
