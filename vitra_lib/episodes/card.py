"""The dataset card: what is in a dataset, where it comes from, under which terms, and how wrong it is known to be."""

import json
from dataclasses import dataclass
from pathlib import Path

from vitra_lib import __version__
from vitra_lib.core.errors import MissingAsset
from vitra_lib.core.paths import results_folder
from vitra_lib.episodes.naming import rule_for
from vitra_lib.episodes.schema import FRAME_FEATURES

_RECORDS = ("reconstruction.official", "reconstruction.world")


@dataclass(frozen=True)
class CardFacts:
    """What the data themselves do not say.

    Attributes:
        made_by: the way they were made ("vitra build", "imported from VITRA-1M"…).
        errors: lines of known error figures, as Markdown list items without the dash; empty = none are known.
    """

    made_by: str = "written by the library"
    errors: tuple[str, ...] = ()


def known_errors(folder: Path | None = None) -> tuple[str, ...]:
    """Measured errors of this pipeline, from the committed records; empty where there are none.

    Args:
        folder: folder of records (default: that of the checkout).
    """
    try:
        folder = folder or results_folder() / "records"
    except MissingAsset:
        return ()
    lines = []
    for name in _RECORDS:
        try:
            record = json.loads((folder / f"{name}.json").read_text())
            for entry in record["values"]:
                if entry["value"] is not None:
                    interval = (
                        f", 95 % interval {entry['ci95'][0]:.3g} to {entry['ci95'][1]:.3g}" if entry["ci95"] else ""
                    )
                    figure = f"{entry['value']:.3g} {entry['unit']}"
                    lines.append(f"{name}: {entry['name']} {figure} (n = {entry['n']}{interval})")
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a record that is missing or of another kind says nothing about this dataset
    return tuple(lines)


def readme(info: dict, videos: list[dict], facts: CardFacts) -> str:
    """The card as README.md; the same dataset has the same card.

    Args:
        info: meta/info.json.
        videos: rows of the table of videos.
        facts: what the data do not say.
    """
    names = {(video["dataset_prefix"], video["video_name"]): video for video in videos}
    hidden = sum(bool(video.get("is_anonymised")) for video in names.values())
    errors = [f"- {line}" for line in facts.errors] or ["None are recorded for data made in this way."]
    return f"""---
license: other
task_categories:
- robotics
tags:
- LeRobot
- vitra-lab
configs:
- config_name: default
  data_files: data/*/*.parquet
---

# Hand-action episodes

A LeRobot {info["codebase_version"]} dataset of human hand actions, {facts.made_by} (vitra-lab {__version__}).

| | |
|---|---|
| episodes | {info["total_episodes"]} |
| frames | {info["total_frames"]} |
| instructions | {info["total_tasks"]} |
| source videos | {len(names)} |
| of them anonymised | {hidden} |
| frames/s, nominal | {info["fps"]} |

## Source and licence

| source | videos | terms |
|---|---|---|
{_sources(names)}

Labels derived from a video may be passed on only as far as the terms of that video allow.
{_anonymity(hidden, len(names))}

## Known errors

{chr(10).join(errors)}

{_columns()}"""


def _sources(names: dict[tuple[str, str], dict]) -> str:
    counts: dict[str, int] = {}
    for prefix, _ in names:
        counts[prefix] = counts.get(prefix, 0) + 1
    return "\n".join(f"| {prefix} | {count} | {rule_for(prefix).licence} |" for prefix, count in sorted(counts.items()))


def _anonymity(hidden: int, count: int) -> str:
    if not hidden:
        return "Faces in these videos were not made unrecognisable."
    which = "all videos" if hidden == count else f"{hidden} of {count} videos (column `is_anonymised` of the videos)"
    return f"Detected faces were made unrecognisable in {which}; a detector misses some, so this is no guarantee."


def _columns() -> str:
    columns = [f"| `{name}` | {dtype} | {length} |" for name, (dtype, length, _) in FRAME_FEATURES.items()]
    return f"""## Reading

```python
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("local/episodes", root="THIS FOLDER", video_backend="pyav")
```

`vitra check THIS_FOLDER` looks for faults; `vitra_lib.episodes.EpisodeStore` reads whole episodes with all labels.

## Columns

- `observation.state` (122): per hand, left first, wrist position [m] and static-xyz Euler angles [rad] in the camera of
  the frame, 45 finger angles [rad], 10 shape values. `action` (102): per hand the wrist's step to the next frame in
  the camera of this frame, and the finger angles of the next frame. Both are zero where `mask_state` / `mask_action`
  is False, and their statistics count valid entries only.
- `T_cam_world` maps points in the world to the camera (4x4, row by row); `left_*` and `right_*` are MANO-layout labels
  in the world, finger rotations of both hands in the right-hand convention.
- `source_frame` and `time_s` are the frame's number and true time in the source video; `timestamp` is nominal.
- Overlapping episodes share one mp4. Captions, paraphrases, intrinsics and provenance are in `meta/vitra/labels`.

| column | type | length |
|---|---|---|
{chr(10).join(columns)}
"""
