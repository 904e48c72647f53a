"""The token-limit fallback of the ping: which body to try next when a server refuses the last one."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

MAX_TOKENS = "max_tokens"
MAX_COMPLETION_TOKENS = "max_completion_tokens"

_OTHER = {MAX_TOKENS: MAX_COMPLETION_TOKENS, MAX_COMPLETION_TOKENS: MAX_TOKENS}

#: Errors of reasoning models that spent every token on thought: such models work.
_REACHED = re.compile(
    r"could not finish.*\bmax_(?:completion_)?tokens\b.*\breached", re.IGNORECASE | re.DOTALL
)
_AT_LEAST = re.compile(
    r"(?:expected a value >=|greater than or equal to|must be (?:at least|>=))\s*(\d{1,6})", re.IGNORECASE
)
_NAMES_A_LIMIT = re.compile(r"\bmax_(?:completion_)?tokens\b")


@dataclass(frozen=True, slots=True)
class BodyVariant:
    """One way to ask for few tokens; written as a variant, like `max_tokens:16`."""

    limit: str
    tokens: int

    def __str__(self) -> str:
        return f"{self.limit}:{self.tokens}"

    @property
    def body(self) -> dict[str, int]:
        return {self.limit: self.tokens}


@dataclass
class BodyVariants:
    """The variants of one probe; each is tried once."""

    current: BodyVariant
    most_tokens: int

    def __post_init__(self) -> None:
        self._tried = {self.current}
        self._limits = {self.current.limit}
        self._raised = False

    @property
    def fell_back(self) -> bool:
        return len(self._tried) > 1

    def fall_back(self, text: str) -> bool:
        """Switch to the variant that a refusal asks for. Return False if none is left."""
        for variant in self._wanted(text):
            if variant not in self._tried:
                self._raised |= variant.tokens != self.current.tokens
                self._tried.add(variant)
                self._limits.add(variant.limit)
                self.current = variant
                return True
        return False

    def _wanted(self, text: str) -> Iterator[BodyVariant]:
        least = _AT_LEAST.search(text)
        if least and not self._raised:  # first: such a text names the field too
            yield replace(self.current, tokens=max(self.current.tokens, min(int(least[1]), self.most_tokens)))
        other = _OTHER[self.current.limit]
        if not least and _NAMES_A_LIMIT.search(text) and other not in self._limits:
            yield replace(self.current, limit=other)


def first_variant(variant: str | None, tokens: int) -> BodyVariant:
    """Return the remembered variant, or `max_tokens`, with at least as many tokens as the policy asks for."""
    limit, _, number = (variant or "").partition(":")
    if limit in _OTHER and number.isdecimal():
        return BodyVariant(limit, max(int(number), tokens))
    return BodyVariant(MAX_TOKENS, tokens)


def ran_out_of_tokens(text: str) -> bool:
    """Return whether the error says that the model spent all its tokens: this counts as an answer."""
    return _REACHED.search(text) is not None
