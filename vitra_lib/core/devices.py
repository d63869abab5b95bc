"""Which processor to compute on; the only file that names an accelerator."""

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

from vitra_lib.core.errors import BadInput, UnknownName

DEVICES = ("auto", "cpu", "cuda", "mps")
# Two processes with spinning OpenMP threads on two cores are some 30 times slower than with passive ones; and NumPy's
# banded solvers are up to 100 times slower with two BLAS threads than with one.
THREAD_SETTINGS = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
}


def settle_threads(environment: MutableMapping[str, str] | None = None) -> None:
    """Set the thread variables that are not set yet; must run before numpy and torch are first imported."""
    environment = os.environ if environment is None else environment
    for name, value in THREAD_SETTINGS.items():
        environment.setdefault(name, value)


def choose_device(name: str = "auto") -> str:
    """Name of the torch device to use.

    Args:
        name: "auto" (the accelerator if there is one), "cpu", "cuda" or "mps".

    Returns:
        "cpu", "cuda" or "mps".

    Raises:
        UnknownName: another name.
        BadInput: the device isn't there.
    """
    if name not in DEVICES:
        raise UnknownName("device", name, DEVICES)
    if name == "cpu" or (name == "auto" and not _may_have_accelerator()):
        return "cpu"
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next((device for device, is_there in present.items() if is_there), "cpu")
    if not present[name]:
        raise BadInput(f"The device {name!r} isn't on this machine: use 'auto' or 'cpu'.")
    return name


def describe_device() -> str:
    """The device that "auto" stands for, with its name if it has one."""
    device = choose_device()
    if device != "cuda":
        return device
    import torch

    return f"cuda ({torch.cuda.get_device_name()})"


def is_gpu(device: object) -> bool:
    """Whether a torch device, or its name, is a GPU that copies from page-locked memory and counts its own memory."""
    return str(device).split(":")[0] == "cuda"


def process_count() -> int:
    """How many processes torchrun started together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def own_device(name: str) -> str:
    """The device of this one of several processes: GPUs have numbers, and the process is bound to its own."""
    if not is_gpu(name):
        return name
    import torch

    number = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(number)
    return f"{name}:{number}"


def collective_backend(device: object) -> str:
    """What processes with such devices talk through."""
    return "nccl" if is_gpu(device) else "gloo"


def peak_memory_bytes(device: object) -> int:
    """Most memory in use so far: of the GPU, or resident memory of this process."""
    if is_gpu(device):
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _may_have_accelerator() -> bool:
    """Whether it is worth the seconds to ask torch: on Linux an accelerator has a device file."""
    return not sys.platform.startswith("linux") or any(
        Path(file).exists() for file in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    )
