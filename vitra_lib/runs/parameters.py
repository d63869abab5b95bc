"""The parameters cell of a notebook: names, types, defaults and choices, read from its source and checked strictly.

A line reads `profile: str = "tiny"  # tiny | small | paper`; a comment that is a list of words between bars lists the
legal values. papermill's own reader is not used, for it skips every line whose comment holds an equals sign.
"""

import ast
import io
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitra_lib.core.errors import BadInput, UnknownName

PROFILES = ("tiny", "small", "paper")
_CHOICES = re.compile(r"[\w.+-]+(?:\s*\|\s*[\w.+-]+)+\Z")
_TYPES: dict[str, type | tuple[type, ...]] = {"int": int, "float": (int, float), "bool": bool, "str": str}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell.

    Attributes:
        name: of the variable.
        type_name: its annotation, "" when there is none.
        default: its value in the notebook.
        comment: what stands behind the `#`.
        choices: legal values as text; empty when any value of the type is legal.
    """

    name: str
    type_name: str
    default: Any
    comment: str
    choices: tuple[str, ...]


def read_notebook(path: Path) -> Any:
    """The notebook as nbformat's object.

    Raises:
        BadInput: the file isn't there or isn't a notebook.
    """
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except OSError as error:
        raise BadInput(f"Can't read the notebook {path}: {error.strerror or error}.") from error
    except Exception as error:  # nbformat raises its own, json's and jsonschema's errors
        raise BadInput(f"{path.name} isn't a notebook ({type(error).__name__}).") from error


def legal_parameters(notebook: Path) -> dict[str, Parameter]:
    """Parameters of a notebook by name, in order; none when no cell is tagged `parameters`.

    Raises:
        BadInput: the file isn't a notebook, or its parameters cell holds anything but assignments of literals.
    """
    cells = read_notebook(notebook).cells
    tagged = [c.source for c in cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", ())]
    return parse_parameters(tagged[0], notebook.name) if tagged else {}


def parse_parameters(source: str, name: str) -> dict[str, Parameter]:
    """Parameters in the source of a cell; `name` is the notebook's, for error messages."""
    try:
        statements = ast.parse(source).body
        comments = {
            token.start[0]: token.string.lstrip("# ").strip()
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type == tokenize.COMMENT
        }
    except (SyntaxError, tokenize.TokenError) as error:
        raise BadInput(f"The parameters cell of {name} isn't valid Python: {error}.") from error
    found = {}
    for statement in statements:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        try:
            default = ast.literal_eval(statement.value)  # type: ignore[attr-defined]
        except (AttributeError, ValueError, TypeError):
            default = targets = None
        if targets is None or len(targets) != 1 or not isinstance(targets[0], ast.Name):
            line = source.splitlines()[statement.lineno - 1]
            raise BadInput(f"The parameters cell of {name} may only assign literals, not {line!r}.")
        annotation = getattr(statement, "annotation", None)
        comment = comments.get(statement.end_lineno or statement.lineno, "")
        choices = tuple(c.strip() for c in comment.split("|")) if _CHOICES.match(comment) else ()
        key = targets[0].id
        if key == "profile" and not choices:
            choices = PROFILES
        found[key] = Parameter(key, ast.unparse(annotation) if annotation else "", default, comment, choices)
    return found


def check_parameters(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters of a run, defaults included.

    Raises:
        UnknownName: a name that the notebook does not have, or a value that is not among the listed choices.
        BadInput: a value of another type than the notebook's.
    """
    legal = legal_parameters(notebook)
    for name, value in given.items():
        if name not in legal:
            raise UnknownName(f"parameter of {notebook.name}", name, legal)
        parameter = legal[name]
        if parameter.choices and str(value) not in parameter.choices:
            raise UnknownName(name, value, parameter.choices)
        kind = _TYPES.get(parameter.type_name)
        if kind and (not isinstance(value, kind) or (isinstance(value, bool) and parameter.type_name != "bool")):
            raise BadInput(
                f"The parameter {name!r} of {notebook.name} must be of type {parameter.type_name}, not {value!r}."
            )
    return {name: given.get(name, parameter.default) for name, parameter in legal.items()}
