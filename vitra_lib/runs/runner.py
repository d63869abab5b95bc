"""The strict notebook runner: papermill, except that an unknown parameter is an error and not a warning.

A notebook runs in a fresh kernel with passive OpenMP threads. The executed copy appears whole under its own name, or,
if a cell failed, as NAME.failed.ipynb up to and with that cell; the record of the run is written in both cases.
"""

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from vitra_lib.core import errors
from vitra_lib.core.devices import THREAD_SETTINGS
from vitra_lib.core.errors import BadInput, VitraError
from vitra_lib.core.files import atomic_path
from vitra_lib.runs.parameters import check_parameters, read_notebook
from vitra_lib.runs.records import RunFacts, write_record

Progress = Callable[[int, int], None]

_SPOKEN = {
    name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.VitraError)
}


class NotebookFailed(VitraError):
    """A cell of a notebook raised an error; the message names notebook, cell and error."""

    exit_code = 1


@dataclass(frozen=True)
class RunPlan:
    """How and where a notebook is run.

    Attributes:
        out_folder: gets the executed notebook; figures go to its subfolder `figures`.
        records_folder: gets the record; `records` in `out_folder` when None.
        parameters: values for the notebook's parameters cell; names and choices are checked.
        kernel_folder: working folder of the kernel; the notebook's own folder when None.
        keep_diff: whether a run from a changed checkout stores the difference beside its record.
    """

    out_folder: Path
    records_folder: Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    kernel_folder: Path | None = None
    keep_diff: bool = True

    def __post_init__(self) -> None:
        if not all(isinstance(name, str) for name in self.parameters):
            raise BadInput("Parameter names must be strings.")


@dataclass(frozen=True)
class Run:
    """One executed notebook.

    Attributes:
        executed: the executed copy.
        record: the record of the run.
        seconds: wall time [s].
    """

    executed: Path
    record: Path
    seconds: float


def run_notebook(notebook: Path, plan: RunPlan, progress: Progress | None = None) -> Run:
    """Execute one notebook.

    Args:
        notebook: the `.ipynb` file; it is not changed.
        plan: parameters and places.
        progress: called with (cells done, cells in all) before every cell and at the end.

    Raises:
        UnknownName, BadInput: the notebook or a parameter is wrong; nothing was run.
        NotebookFailed: a cell failed; the partly executed copy is NAME.failed.ipynb.
        WriteFailed: the folder can't be written.
    """
    resolved = check_parameters(notebook, plan.parameters)
    target = plan.out_folder / notebook.name
    failed = target.with_name(f"{notebook.stem}.failed.ipynb")
    started, clock = datetime.now(UTC), time.perf_counter()
    failure: NotebookFailed | None = None
    with atomic_path(target) as part:
        try:
            _execute(notebook, part, plan, progress)
        except NotebookFailed as error:
            failure = error
        executed = read_notebook(part)
        if failure is not None:
            with atomic_path(failed) as copy:
                copy.write_bytes(part.read_bytes())
        seconds = time.perf_counter() - clock
        facts = RunFacts(notebook, resolved, started, seconds, "failed" if failure else "ok", str(failure or ""))
        record = write_record(executed, facts, plan.records_folder or plan.out_folder / "records", plan.keep_diff)
        if failure is not None:
            target.unlink(missing_ok=True)  # an older copy of this name would be taken for this run
            raise NotebookFailed(f"{failure} The partly executed notebook is {failed}.")
        failed.unlink(missing_ok=True)
    return Run(target, record, seconds)


def _execute(notebook: Path, part: Path, plan: RunPlan, progress: Progress | None) -> None:
    """Let papermill run `notebook` into `part`."""
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    count = len(read_notebook(notebook).cells) + bool(plan.parameters)

    def cell_starts(cell: Any, cell_index: int) -> None:
        if progress is not None:
            progress(cell_index, count)

    logging.getLogger("papermill").setLevel(logging.ERROR)  # its parser of parameters complains of good comments
    with _kernel_environment(plan), tempfile.TemporaryFile() as kernel_log:
        try:
            papermill.execute_notebook(
                _escaped(notebook),
                _escaped(part),
                parameters=dict(plan.parameters) or None,
                progress_bar=False,
                cwd=str((plan.kernel_folder or notebook.parent).resolve()),
                on_cell_start=cell_starts,
                kernel_manager_class=_manager_that_logs_to(kernel_log),
            )
        except papermill.exceptions.PapermillExecutionError as error:
            said = " ".join(str(error.evalue).split())
            # The kit's own errors are sentences; of any other the reader needs the kind as well.
            what = (said if error.ename in _SPOKEN else f"{error.ename}: {said}").rstrip(": .")
            raise NotebookFailed(f"Notebook {notebook.name} stopped in code cell {error.exec_count}: {what}.") from None
        except (DeadKernelError, CellTimeoutError) as error:
            why = _last_line(kernel_log) or "perhaps for lack of memory"
            raise NotebookFailed(f"Notebook {notebook.name} lost its kernel: {why}.") from error
    if progress is not None:
        progress(count, count)


def _manager_that_logs_to(stream: IO[bytes]) -> type:
    """A kernel manager whose kernels write their native standard error to `stream`.

    Cells show what Python writes there; the rest (native libraries, the kernel's own farewell) would only disturb the
    progress on the terminal.
    """
    from jupyter_client.manager import AsyncKernelManager

    class Manager(AsyncKernelManager):
        def start_kernel(self, **keywords: Any) -> Any:
            return super().start_kernel(**{"stderr": stream, **keywords})

    return Manager


def _last_line(stream: IO[bytes]) -> str:
    stream.seek(0)
    lines = stream.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip().rstrip(".") if lines else ""


@contextmanager
def _kernel_environment(plan: RunPlan) -> Iterator[None]:
    """Variables that the kernel inherits, set for the duration of a run.

    Figures must land in the notebook whatever MPLBACKEND the caller has, and a notebook must not go online for
    weights that its profile does not name.
    """
    settings = {
        **THREAD_SETTINGS,
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),
        "VITRA_RUN_FOLDER": str(plan.out_folder.resolve()),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONWARNINGS": "ignore:IProgress not found",  # other packages' progress bars; nobody watches a headless run
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _escaped(path: Path) -> str:
    """papermill takes braces in a path for a template."""
    return str(path).replace("{", "{{").replace("}", "}}")
