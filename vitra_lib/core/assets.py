"""Cards of licensed or optional files and packages: what each is, its licence, where to register, where to put it.

Cards are YAML files in data/cards/, one per asset. Nothing here downloads anything: the user accepts a licence with
the owner, and puts the file where the card says.
"""

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import yaml

from vitra_lib.core.errors import BadInput, MissingAsset, UnknownName
from vitra_lib.core.files import sha256_of
from vitra_lib.core.paths import assets_folder, cards_folder

State = Literal["present", "absent", "wrong"]


@dataclass(frozen=True)
class Card:
    """One licensed or optional asset.

    Attributes:
        name: short name, also the file name of the card.
        title: its full name.
        what: what it is, one sentence.
        used_for: what the kit does with it, and what it does without.
        licence: its terms in a few words.
        register: address where its owner gives it out, or None for a package.
        files: paths below the assets folder; the asset is present when all are there.
        package: name of the Python package it is, or None.
        install: command that installs the package, or None.
        sha256: expected digest per file, where known.
    """

    name: str
    title: str
    what: str
    used_for: str
    licence: str
    register: str | None = None
    files: tuple[str, ...] = ()
    package: str | None = None
    install: str | None = None
    sha256: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if bool(self.files) == bool(self.package):
            raise BadInput(f"The card {self.name!r} must name either files or a package.")
        if self.package and not self.install:
            raise BadInput(f"The card {self.name!r} must say how to install its package.")
        if self.files and not self.register:
            raise BadInput(f"The card {self.name!r} must say where to get its files.")


def names() -> tuple[str, ...]:
    """Names of all cards, sorted."""
    return tuple(sorted(path.stem for path in cards_folder().glob("*.yaml")))


def card(name: str) -> Card:
    """The card of an asset.

    Raises:
        UnknownName: there is no card of that name.
        BadInput: the card's file is malformed.
    """
    if name not in names():
        raise UnknownName("asset", name, names())
    path = cards_folder() / f"{name}.yaml"
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        fields["files"] = tuple(fields.get("files", ()))
        fields["sha256"] = tuple(sorted(fields.get("sha256", {}).items()))
        return Card(name=name, **fields)
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise BadInput(f"The card {path.name} is malformed: {error}.") from error


def explain(name: str) -> str:
    """All that a user must know to get an asset, as a short text."""
    c = card(name)
    lines = [f"{c.title} ({c.name})", f"  What it is:  {c.what}", f"  Used for:    {c.used_for}"]
    lines.append(f"  Licence:     {c.licence}")
    if c.register:
        lines.append(f"  Get it at:   {c.register}")
    if c.install:
        lines.append(f"  Install:     {c.install}")
    lines += [f"  Put it at:   {path}" for path in file_paths(name)]
    return "\n".join(lines)


def file_paths(name: str) -> tuple[Path, ...]:
    """Where the files of an asset belong, whether they are there or not; empty for a package."""
    return tuple(assets_folder() / file for file in card(name).files)


def find(name: str) -> tuple[Path, ...] | None:
    """The files of an asset, or None when one of them is missing; an empty tuple for an installed package."""
    c = card(name)
    if c.package:
        return () if _is_installed(c.package) else None
    paths = file_paths(name)
    return paths if all(path.exists() for path in paths) else None


def require(name: str) -> tuple[Path, ...]:
    """The files of an asset.

    Raises:
        MissingAsset: a file or the package isn't there; the message is the card in one sentence.
    """
    found = find(name)
    if found is not None:
        return found
    c = card(name)
    if c.package:
        raise MissingAsset(f"{c.title} isn't installed ({c.what} Licence: {c.licence}): run `{c.install}`.")
    places = " and ".join(str(path) for path in file_paths(name))
    raise MissingAsset(
        f"{c.title} isn't here ({c.what} Licence: {c.licence}): register at {c.register} and put the file at {places}."
    )


def verify(name: str) -> tuple[State, str]:
    """Whether an asset is present and, where its digest is known, the right one; with one sentence that says so."""
    c = card(name)
    if find(name) is None:
        return "absent", f"{c.title} isn't here; it is optional. See `vitra assets explain {name}`."
    for file, expected in c.sha256:
        if sha256_of(assets_folder() / file) != expected:
            return (
                "wrong",
                f"{assets_folder() / file} isn't the file that the card describes: get it again from {c.register}.",
            )
    if c.package:
        return "present", f"{c.package} {metadata.version(c.package)} is installed."
    return "present", f"{c.title} is at {', '.join(str(path) for path in file_paths(name))}."


def _is_installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True
