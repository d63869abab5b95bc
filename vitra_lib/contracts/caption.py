"""The sentence of one atomic action, and who said it."""

from dataclasses import dataclass

from vitra_lib.contracts.segment import Segment


@dataclass(frozen=True)
class Caption:
    """What a captioner answered for one segment.

    Attributes:
        segment: the atomic action that was described.
        text: one imperative sentence with its final period ("Pick up the cup."); "" when `is_na`.
        is_na: True when the captioner answered "N/A"; the segment is then dropped and counted.
        source: who wrote it: "motion-only" (weak: geometry alone, no object), "truth",
            or "openai:<model>".
        is_weak: True when the text names no object and must not be taken for a real caption.
        think: the captioner's reasoning, or "".
        rephrasings: paraphrases, first of them `text` itself; empty when none were asked for.
    """

    segment: Segment
    text: str
    is_na: bool
    source: str
    is_weak: bool
    think: str = ""
    rephrasings: tuple[str, ...] = ()
