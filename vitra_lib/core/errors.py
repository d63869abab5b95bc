"""One family of errors: what was wrong, what is legal, what to do.

Every error that a user can cause derives from `VitraError`; its message is one clear sentence
(or two), fit to be printed without a traceback. The command line prints it and exits with the
error's `exit_code`.
"""

from collections.abc import Iterable


class VitraError(Exception):
    """Base of all errors that a user can cause and mend."""

    exit_code = 2


class BadInput(VitraError):
    """A file or a value that the user gave can't be used."""


class BadVideo(BadInput):
    """A video can't be opened, is empty, is truncated, or is too large to process."""


class UnknownName(BadInput):
    """A name (backend, parameter, split, profile…) is not one of the legal ones."""

    def __init__(self, what: str, given: object, legal: Iterable[object]) -> None:
        names = ", ".join(str(name) for name in legal)
        super().__init__(f"Unknown {what} {given!r}: legal are {names}.")


class MissingAsset(VitraError):
    """A licensed or optional file or package is not there; the message says how to get it."""


class UnsafePickle(BadInput):
    """A pickle asks for something other than plain arrays and containers; nothing in it was run."""


class RefusedClip(VitraError):
    """A stage can't give an honest result for this clip (no hands, one frame, no texture…)."""


class WriteFailed(VitraError):
    """An output can't be written (no permission, full disk); nothing half-written is left."""
