"""The check under an exercise: says "not attempted" until there is an answer, and never stops a notebook."""

from collections.abc import Callable
from typing import Any


def check(answer: Any, is_right: Callable[[Any], bool], hint: str) -> str:
    """Judge an answer in one line.

    Args:
        answer: what the reader wrote; `...` = nothing yet.
        is_right: the test; an answer on which it fails with an error is wrong.
        hint: what to think of when the answer is wrong.

    Returns:
        "not attempted", "right", or "not yet" with the hint.
    """
    if answer is ...:
        return "not attempted"
    try:
        verdict = bool(is_right(answer))
    except Exception as error:  # an answer may be anything at all, and so may what the test makes of it
        return f"not yet ({type(error).__name__}: {error}). {hint}"
    return "right" if verdict else f"not yet. {hint}"
