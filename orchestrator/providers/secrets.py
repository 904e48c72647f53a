"""How a secret goes into a request, and how it stays out of every message."""

import re
from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote

from orchestrator.providers.driver import Auth, Secret

#: Characters of the longest detail that is kept or shown.
DETAIL_LIMIT = 300

#: What looks like a secret though it is none of ours: a platform may echo a neighbour's, or half of one.
_LOOKS_SECRET = re.compile(
    r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}|\bsk-[\w*.-]{6,}|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"
)


def auth_headers(auth: Auth, secret: Secret | None) -> dict[str, str]:
    """The headers that carry `secret`; none without one."""
    if secret is None or auth is Auth.NONE:
        return {}
    if auth is Auth.BASIC:
        return {"authorization": f"Basic {_base64(secret.value)}"}
    bearer = {"authorization": f"Bearer {secret.value}"}
    key = {"x-api-key": secret.value}
    return {Auth.BEARER: bearer, Auth.X_API_KEY: key, Auth.BOTH: bearer | key}[auth]


def hidden_forms(secret: Secret | None) -> tuple[str, ...]:
    """Every form in which an upstream could echo the secret, longest first."""
    if secret is None:
        return ()
    user, _, password = secret.value.partition(":")
    forms = {secret.value, _base64(secret.value), quote(secret.value, safe=""), password or user}
    return tuple(sorted(forms - {""}, key=len, reverse=True))


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without `secrets`, and without what looks like one."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _LOOKS_SECRET.sub("***", text)


def brief(text: str, secrets: Iterable[str] = ()) -> str:
    """One redacted line of at most 300 characters. Redacts first: a cut secret would not be recognised."""
    line = " ".join(redact(text, secrets).split())
    printable = "".join(char for char in line if char.isprintable())
    return printable if len(printable) <= DETAIL_LIMIT else printable[: DETAIL_LIMIT - 1] + "…"


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
