"""How the official data sets name video files and folders (spec of the episode format, 1.1 and 1.6), as data."""

from dataclasses import dataclass
from pathlib import Path

from vitra_lib.core.errors import BadInput


@dataclass(frozen=True)
class NamingRule:
    """Files of one source.

    Attributes:
        prefix: text before the first "_" of an episode's name; case counts.
        folders: annotation folders with this prefix.
        video_root: folder of the videos inside the official "Video" folder.
        extension: of an undivided video.
        part_extension: of the parts of a divided one.
        licence: terms of the source videos, in a few words.
    """

    prefix: str
    folders: tuple[str, ...]
    video_root: str
    extension: str = ".mp4"
    part_extension: str = ".mp4"
    licence: str = "those of the source videos, which this kit doesn't know"


_EGO4D = "Ego4D licence agreement, signed with its consortium (ego4d-data.org)"
_EGOEXO4D = "Ego-Exo4D licence agreement, signed with its consortium (ego-exo4d-data.org)"
_EPIC = "CC BY-NC 4.0 (epic-kitchens.github.io)"
_SSV2 = "Something-Something V2 research agreement with Qualcomm, non-commercial"

RULES = {
    rule.prefix: rule
    for rule in (
        NamingRule("Ego4D", ("ego4d_cooking_and_cleaning", "ego4d_other"), "Ego4D_root", licence=_EGO4D),
        NamingRule("EgoExo4D", ("egoexo4d",), "EgoExo4D_root", licence=_EGOEXO4D),
        NamingRule("epic", ("epic",), "Epic-Kitchen_root", ".MP4", licence=_EPIC),
        NamingRule("somethingsomethingv2", ("ssv2",), "Somethingsomething-v2_root", ".webm", licence=_SSV2),
    )
}

# EgoExo4D labels describe the undistorted 1408 px image; the published recipe scales it to 448 px and cuts the
# middle 256 px out.
EGOEXO4D_SHOWN_FRACTION = 256 / 448


def rule_for(prefix: str) -> NamingRule:
    """The rule of a prefix; an unknown one is treated as "{video_name}.mp4"."""
    return RULES.get(prefix, NamingRule(prefix, (), f"{prefix}_root"))


def folder_prefix(folder: str) -> str | None:
    """Prefix of an official annotation folder, or None."""
    return next((rule.prefix for rule in RULES.values() if folder in rule.folders), None)


def part_names(prefix: str, video_name: str, last_frame: int, clip_len: int) -> list[str]:
    """File names of the parts that hold frames 0 to `last_frame`: part k holds frames [(k-1) clip_len, k clip_len)."""
    extension = rule_for(prefix).part_extension
    return [f"{video_name}_part{k}{extension}" for k in range(1, last_frame // clip_len + 2)]


def find_video(
    prefix: str, video_name: str, roots: list[Path], last_frame: int = 0, clip_len: int | None = None
) -> list[Path]:
    """Files of one video, in order.

    Args:
        prefix, video_name: as in the episode's name.
        roots: folders to look in, and in them the official video folders.
        last_frame: largest source frame that is needed.
        clip_len: frames per part, or None for undivided videos.

    Raises:
        BadInput: a file isn't there; the message lists the names that were tried.
    """
    rule = rule_for(prefix)
    names = [video_name + rule.extension] if clip_len is None else part_names(prefix, video_name, last_frame, clip_len)
    folders = [root / inner for root in roots for inner in (".", rule.video_root, f"Video/{rule.video_root}", "videos")]
    for folder in folders:
        if all((folder / name).is_file() for name in names):
            return [(folder / name).resolve() for name in names]
    shown = names if len(names) <= 3 else [*names[:2], "…", names[-1]]
    places = ", ".join(dict.fromkeys(str(folder) for folder in folders if folder.is_dir())) or "no existing folder"
    raise BadInput(f"The video of {prefix} {video_name!r} is missing: looked for {', '.join(shown)} in {places}.")
