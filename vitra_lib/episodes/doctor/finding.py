"""What the doctor says: findings, each with a severity, a place and a mend, and their report."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Literal

Severity = Literal["error", "warning"]

MENDS = {
    "layout": "restore the missing or damaged file from its source, or write the dataset again",
    "schema": "write the dataset again with this version, or remove what was added by hand",
    "counts": "append to the dataset only through the library; write it again if a file was edited",
    "unreadable": "restore the file from its source, or leave the episode out when importing (--skip-bad)",
    "name": "rename the file to {prefix}_{video_name}_ep_{six digits}.npy, and the index's entry with it",
    "rotation": "store proper rotations: orthonormal, determinant +1 (project with an SVD, or redo the conversion)",
    "transform": "store the 4x4 transform from world to camera, last row 0 0 0 1",
    "not_finite": "mark frames with unknown poses as invalid; official files hold no NaN at all",
    "consistency": "derive camera-space values anew from the world-space ones and the extrinsics",
    "mirror_rule": "keep finger rotations of both hands in the right-hand convention; mirror only the left template",
    "hand_size": "store metres (not millimetres), and joints and wrist in the same frame",
    "wrist_jump": "mark the frames around the jump as invalid, or reconstruct the clip again",
    "camera_jump": "reconstruct the clip again, or cut the episode at the jump",
    "frame_range": "make the frame numbers consecutive and inside the video; see whether it is the right video",
    "time": "take the times from the video's own frames, and its true mean rate as fps",
    "caption_range": "make the interval half-open and inside [0, number of frames]",
    "caption_empty": "write a sentence, or leave the caption out; an episode needs one for its primary hand",
    "mask": "mark valid frames with 1 and others with 0; leave out episodes whose primary hand is never valid",
    "intrinsics": "store pinhole intrinsics of the undistorted original image, in pixels",
    "hands_outside": "find the right video, or the right crop and undistortion of it",
    "size": "use the video of the labelled shape: undistorted and cropped as the labels' recipe says",
    "columns": "derive state, action and counters anew: read the episodes and write the dataset again",
    "statistics": "compute the statistics anew from the data (import or build the dataset again)",
    "video": "transcode the source again (`vitra transcode`), or import the episode again",
    "fps": "encode the video at the rate that meta/info.json states",
    "index": "write the index anew from the files that are there",
    "leftover": "remove it, or finish the interrupted command",
}

# reason of `mismatch.find_mismatches` -> severity and code
MISMATCHES: dict[str, tuple[Severity, str]] = {
    "frames_outside_video": ("error", "frame_range"),
    "size_mismatch": ("error", "size"),
    "hands_outside_image": ("error", "hands_outside"),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        severity: "error": wrong results or a crash later; "warning": looks wrong, may be true.
        code: kind of fault, a key of `MENDS`.
        place: file or episode, and frames where they are known.
        what: what was found, with figures.
    """

    severity: Severity
    code: str
    place: str
    what: str

    @property
    def mend(self) -> str:
        """What to do about it."""
        return MENDS[self.code]


@dataclass
class Report:
    """All findings on one dataset.

    Attributes:
        dataset: its folder.
        kind: "store" or "official".
        episodes: number of episodes looked at.
        findings: in the order in which they were found.
        notes: what could not be checked, and why.
    """

    dataset: str
    kind: str
    episodes: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, severity: Severity, code: str, place: str, what: str) -> None:
        """Add one finding."""
        self.findings.append(Finding(severity, code, place, what))

    @property
    def errors(self) -> int:
        """Number of findings that are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """Plain values for a file."""
        found = [asdict(finding) | {"mend": finding.mend} for finding in self.findings]
        return {"dataset": self.dataset, "kind": self.kind, "episodes": self.episodes} | {
            "errors": self.errors,
            "warnings": len(self.findings) - self.errors,
            "findings": found,
            "notes": self.notes,
        }

    def text(self, shown: int = 5) -> str:
        """The report for a terminal: kinds of fault, worst first, each with its mend and the first places.

        Args:
            shown: places listed per kind.
        """
        lines = []
        counts = Counter((finding.severity, finding.code) for finding in self.findings)
        for (severity, code), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1], item[0][1])):
            lines.append(f"{severity.upper()} {code}: {count} time{'s' * (count > 1)}. Mend: {MENDS[code]}.")
            places = [f for f in self.findings if (f.severity, f.code) == (severity, code)]
            lines += [f"    {finding.place}: {finding.what}" for finding in places[:shown]]
            if count > shown:
                lines.append(f"    … and {count - shown} more")
        lines += [f"note: {note}" for note in self.notes]
        warnings = len(self.findings) - self.errors
        lines.append(f"{self.dataset}: {self.episodes} episodes checked, {self.errors} errors, {warnings} warnings")
        return "\n".join(lines)
