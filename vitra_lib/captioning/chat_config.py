"""How to ask an endpoint: limits, patience, and what a request costs."""

import math
from dataclasses import dataclass

from vitra_lib.core.errors import BadInput, UnknownName

ANONYMISE = ("external", "always", "never")


@dataclass(frozen=True)
class ChatConfig:
    """Settings of the client of a chat endpoint.

    Attributes:
        base_url: root of the API; None = `OPENAI_BASE_URL`, or OpenAI's own. The key is never a setting: it comes
            from the environment alone.
        concurrency: requests in flight at once.
        timeout_s: longest one request may take, from the first byte sent to the last byte read [s].
        max_tries: requests per question while the endpoint fails (429, 5xx, time-out, broken answer).
        max_bad_answers: replies per question that may be of the wrong form.
        first_wait_s: pause before the second try; doubled for each further one, with jitter [s].
        max_wait_s: longest pause, also where the endpoint wishes a longer one (Retry-After) [s].
        max_requests: no more requests than this in one run, tries included; None = no limit.
        max_tokens: no more estimated tokens than this in one run, questions and answers; None = no limit.
        max_answer_tokens: longest reply that is asked for.
        max_answer_bytes: a longer body is cut off and counts as broken.
        give_up_after: questions in a row that the endpoint failed to answer before the run is given up.
        anonymise: blur faces before frames leave: "external" = when the endpoint is not on this machine, "always",
            "never".
    """

    base_url: str | None = None
    concurrency: int = 8
    timeout_s: float | int = 60.0
    max_tries: int = 5
    max_bad_answers: int = 3
    first_wait_s: float | int = 1.0
    max_wait_s: float | int = 60.0
    max_requests: int | None = None
    max_tokens: int | None = None
    max_answer_tokens: int = 500
    max_answer_bytes: int = 1_000_000
    give_up_after: int = 20
    anonymise: str = "external"

    def __post_init__(self) -> None:
        for name in ("concurrency", "max_tries", "max_bad_answers", "max_answer_tokens", "max_answer_bytes"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}: give at least 1.")
        if self.give_up_after < 1 or self.concurrency > 256:
            raise BadInput("give_up_after must be at least 1, and concurrency at most 256.")
        for name in ("max_requests", "max_tokens"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise BadInput(f"{name} is {getattr(self, name)}: give 0 or more, or leave it out for no limit.")
        for name in ("timeout_s", "first_wait_s", "max_wait_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise BadInput(f"{name} is {value}: give a number of seconds above 0.")
        if self.anonymise not in ANONYMISE:
            raise UnknownName("choice for anonymise", self.anonymise, ANONYMISE)


@dataclass(frozen=True)
class Price:
    """What an endpoint asks for, as its price list says; the kit knows no prices.

    Attributes:
        per_million_in: for a million tokens of questions, in any currency.
        per_million_out: for a million tokens of answers, in the same currency.
    """

    per_million_in: float | int
    per_million_out: float | int

    def __post_init__(self) -> None:
        if not all(math.isfinite(p) and p >= 0 for p in (self.per_million_in, self.per_million_out)):
            raise BadInput("A price per million tokens must be a number of 0 or more.")


@dataclass(frozen=True)
class CostEstimate:
    """What a run would ask and cost; nothing was asked to know it.

    Attributes:
        questions: number of questions.
        cached: those whose answer is on disk already, or that are asked twice in the run.
        tokens_in: estimated tokens of the questions that are left.
        tokens_out: largest possible number of tokens of their answers.
        cost: upper estimate in the currency of the price; None when no price was given.
    """

    questions: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float | None

    def sentence(self) -> str:
        """One line for people."""
        cost = (
            "give both prices per million tokens to see the cost" if self.cost is None else f"cost <= {self.cost:.4f}"
        )
        return (
            f"{self.questions} questions, {self.cached} answered already, {self.questions - self.cached} to ask: about "
            f"{self.tokens_in} tokens in, at most {self.tokens_out} out; {cost} (estimated; each try again adds to it)"
        )
