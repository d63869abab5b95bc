"""The sentence that a policy is trained on: both hands in one line (spec of sample construction, 2.7)."""

NO_INSTRUCTION = "None."
REPHRASINGS = 5
"""How many wordings a caption has: the original first, then four paraphrases (paper section on language labelling)."""


def two_hand_instruction(left: str | None, right: str | None) -> str:
    """ "Left hand: … Right hand: …", with "None." for a hand that has nothing to do.

    Args:
        left, right: what each hand does; None or "" = nothing. A missing final full stop is added.
    """
    return f"Left hand: {as_sentence(left)} Right hand: {as_sentence(right)}"


def as_sentence(text: str | None) -> str:
    """The text without spaces around it and with its final full stop; "None." where there is nothing to say."""
    text = (text or "").strip()
    if not text:
        return NO_INSTRUCTION
    return text if text.endswith(".") else text + "."
