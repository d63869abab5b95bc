"""Reading the tables of robots that ship with this package: YAML files of plain numbers, one per hand or arm."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from vitra_lib.core.errors import BadInput, UnknownName

FOLDER = Path(__file__).parent
_SUFFIX = "_joints.yaml"


def table_names(kind: str) -> tuple[str, ...]:
    """Names of the shipped tables of one kind, sorted.

    Args:
        kind: "hand" or "arm".
    """
    found = (path.name.removesuffix(_SUFFIX) for path in sorted(FOLDER.glob(f"*{_SUFFIX}")))
    return tuple(name for name in found if read_table(FOLDER / f"{name}{_SUFFIX}").get("kind") == kind)


def find_table(kind: str, name: str | Path) -> dict[str, Any]:
    """The content of a shipped table by its name, or of the user's own by its path.

    Raises:
        UnknownName: no shipped table has this name.
        BadInput: the file isn't a table of this kind.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name}{_SUFFIX}"
        if not path.is_file() or read_table(path).get("kind") != kind:
            raise UnknownName(kind, str(name), table_names(kind))
    table = read_table(path)
    if table.get("kind") != kind:
        raise BadInput(f"{path.name} is a table of kind {table.get('kind')!r}; a table of kind {kind!r} is needed.")
    return table


@lru_cache(maxsize=32)
def read_table(path: Path) -> dict[str, Any]:
    """A table as a dict; shared, so treat it as read-only.

    Raises:
        BadInput: the file isn't there or isn't a YAML mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{path} can't be read as a YAML table ({' '.join(str(error).split())}).") from error
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds a {type(content).__name__}; a table is a YAML mapping.")
    return content
