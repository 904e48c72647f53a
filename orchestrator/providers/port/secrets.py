"""How a secret is sent in a request, and kept out of every message."""

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Iterable, Sequence
from urllib.parse import quote

from orchestrator.providers.port.driver import Auth, Secret

#: Characters of the longest detail that is kept or shown.
DETAIL_LIMIT = 300
#: A shorter secret of another call is no secret, but a word that messages need.
TELLING = 8

#: What looks like a secret though it is none of ours: a platform may echo a neighbour's, or half of one.
_LOOKS_SECRET = re.compile(
    r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}|\bsk-[\w*.-]{6,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)


def auth_headers(auth: Auth, secret: Secret | None) -> dict[str, str]:
    """Return the headers that carry `secret`; none without one."""
    if secret is None or auth is Auth.NONE:
        return {}
    if auth is Auth.BASIC:
        return {"authorization": f"Basic {_base64(secret.value)}"}
    bearer = {"authorization": f"Bearer {secret.value}"}
    key = {"x-api-key": secret.value}
    return {Auth.BEARER: bearer, Auth.X_API_KEY: key, Auth.BOTH: bearer | key}[auth]


def hidden_forms(secret: Secret | None) -> tuple[str, ...]:
    """Return every form in which an upstream could echo the secret, longest first."""
    return () if secret is None else _longest_first(_forms(secret.value))


class Redactor:
    """What messages must not show: the secret of a call, and every other that this process knows."""

    def __init__(self, known: Callable[[], Collection[str]] = frozenset) -> None:
        """Hide these secrets. `known`: those looked up so far; their number only grows."""
        self._known = known
        self._seen = 0
        self._others: tuple[str, ...] = ()

    def forms(self, secret: Secret | None) -> tuple[str, ...]:
        """Return all forms to hide, the call's own first. A platform may echo another call's key: one message may hold
        two."""
        known = self._known()
        if len(known) != self._seen:
            forms = {form for value in known for form in _forms(value) if len(form) >= TELLING}
            self._seen, self._others = len(known), _longest_first(forms)
        return hidden_forms(secret) + self._others


def beginning(text: str, secrets: Sequence[str], most: int) -> str:
    """Return the first `most` characters, redacted. A secret that crosses the cut is removed as a whole."""
    longest = max(map(len, secrets), default=0)
    window = text[: most + longest]
    shown = redact(window, secrets)
    if longest and len(window) < len(text):
        shown = shown[: -min(longest, len(shown))]
    return shown[:most]


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return `text` without `secrets`, and without anything that looks like one."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _LOOKS_SECRET.sub("***", text)


def brief(text: str, secrets: Iterable[str] = ()) -> str:
    """Return one redacted line of at most 300 characters. It is redacted before it is cut, as half a secret would not
    be recognised."""
    line = " ".join(redact(text, secrets).split())
    printable = "".join(char for char in line if char.isprintable())
    return printable if len(printable) <= DETAIL_LIMIT else printable[: DETAIL_LIMIT - 1] + "…"


def _forms(value: str) -> set[str]:
    user, _, password = value.partition(":")
    return {value, _base64(value), quote(value, safe=""), password or user} - {""}


def _longest_first(forms: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
