"""Which sentence a sample gets, and how far its caption reaches (spec of the sample, 2.1 and 2.7)."""

from dataclasses import dataclass

from vitra_lib.captioning.instruction import NO_INSTRUCTION, as_sentence
from vitra_lib.contracts.hand_track import SIDES
from vitra_lib.episodes.episode import Episode


@dataclass(frozen=True)
class Wordings:
    """One caption, ready to choose from.

    Attributes:
        start, stop: [start, stop) episode frames that it describes.
        sentences: the original and its rephrasings, stripped and with their full stop.
    """

    start: int
    stop: int
    sentences: tuple[str, ...]

    def choose(self, u: float) -> str:
        """One of the sentences, all equally likely, by a uniform number in [0, 1)."""
        return self.sentences[int(u * len(self.sentences))]


@dataclass(frozen=True)
class EpisodeTexts:
    """The captions of both hands of one episode.

    Attributes:
        primary: number of the hand that cut the episode (0 left, 1 right).
        hands: captions of (left, right).
        frames: length of the episode.
    """

    primary: int
    hands: tuple[tuple[Wordings, ...], tuple[Wordings, ...]]
    frames: int

    @classmethod
    def of(cls, episode: Episode) -> "EpisodeTexts":
        """Read the captions of an episode."""
        left, right = (
            tuple(
                Wordings(c.start, c.stop, tuple(as_sentence(text) for text in (c.text, *c.rephrasings)))
                for c in episode.hand(side).captions
            )
            for side in SIDES
        )
        return cls(SIDES.index(episode.primary_hand), (left, right), len(episode))

    def choose(
        self, frame: int, u_caption: float, u_main: float, u_other: float, official_quirks: bool = False
    ) -> tuple[tuple[str, str], tuple[tuple[int, int], tuple[int, int]]]:
        """Sentences and window bounds at one frame.

        The primary hand takes its first caption and the whole episode. The other hand takes one of the captions that
        cover `frame` and stays inside it; where none does it has no sentence and the whole episode.

        Args:
            frame: episode frame.
            u_caption, u_main, u_other: uniform numbers that choose the caption and the wordings.
            official_quirks: the official code looks the other hand's rephrasings up by the caption's place among those
                that cover the frame, not in the whole list.

        Returns:
            (left, right) sentences, and per hand the first and last frame that its window may use.
        """
        main, other = self.hands[self.primary], self.hands[1 - self.primary]
        whole = (0, self.frames - 1)
        texts, bounds = [NO_INSTRUCTION, NO_INSTRUCTION], [whole, whole]
        if main:
            texts[self.primary] = main[0].choose(u_main)
        covering = [caption for caption in other if caption.start <= frame < caption.stop]
        if covering:
            place = int(u_caption * len(covering))
            chosen = covering[place]
            bounds[1 - self.primary] = (chosen.start, chosen.stop - 1)
            if official_quirks:
                chosen = Wordings(0, 0, chosen.sentences[:1] + other[place].sentences[1:])
            texts[1 - self.primary] = chosen.choose(u_other)
        return (texts[0], texts[1]), (bounds[0], bounds[1])
