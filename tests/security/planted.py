"""Secrets without a recognisable shape, in every form in which a call carries them."""

from base64 import b64encode
from collections.abc import Iterable
from urllib.parse import quote

#: Replaced in a fault's texts by the key of the call, in every form.
ECHO = "{key} {base64} {quoted}"
#: Every fault with a text of its own, and that text.
FAULTS: list[tuple[str, dict[str, str]]] = [
    ("error_before", {"text": "Authorization: Bearer " + ECHO}),
    ("error_after_effect", {"text": "x-api-key: " + ECHO}),
    ("forbidden", {"text": f"the key {ECHO} may not do this"}),
    ("out_of_balance", {"text": f"no credits left for {ECHO}"}),
    ("html", {"title": f"denied: {ECHO}"}),
    ("html", {"title": "." * 290 + ECHO}),
    ("error_in_200", {"text": ECHO, "code": "{key}"}),
    ("redirect", {"location": "http://127.0.0.1:9/?key={quoted}"}),
    ("wrong_id", {"session_id": "0xfeed"}),
    ("unauthorized", {}),
    ("invalid_json", {}),
    ("cut_after_effect", {}),
]


def key(number: int) -> str:
    """Return a key without the looks of a secret."""
    return f"planted/{number:02}+1234567"


def forms(secret: str) -> dict[str, str]:
    """Return it plain, as Basic authentication has it, and as a URL has it."""
    return {"key": secret, "base64": b64encode(secret.encode()).decode(), "quoted": quote(secret, safe="")}


def said(params: dict[str, str], secret: str, neighbours: Iterable[str] = ()) -> dict[str, str]:
    """Return a fault's texts; they contain the key of the call, and its neighbours."""
    others = [forms(other) for other in neighbours]
    spoken = {
        name: " ".join([form, *(other[name] for other in others)]) for name, form in forms(secret).items()
    }
    return {name: text.format(**spoken) for name, text in params.items()}


def found_in(text: str, secrets: Iterable[str]) -> list[str]:
    """Return where one of them, or its beginning, is in a text; with its surroundings."""
    wanted = {form for secret in secrets for form in (*forms(secret).values(), secret[:14])}
    return [text[max(0, text.index(form) - 300) :][:600] for form in sorted(wanted) if form in text]
