"""Settings that every test shares; they must stand before numpy and torch are imported."""

import os

for name, value in {
    "OMP_WAIT_POLICY": "PASSIVE",  # two spinning torch processes on two cores are 30 times slower
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "MPLBACKEND": "Agg",
}.items():
    os.environ[name] = value

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """Folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings used for checking only; a test that needs it is skipped where it is absent."""
    folder = Path(os.environ.get("VITRA_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("The real recordings are not on this machine: set VITRA_SHARED_DATA to their folder.")
    return folder
