"""What a form sent. Each form holds the token against forgery, and a key under which it acts once."""

import hmac
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile

from orchestrator.api.problems import ApiCode, Problem, fault, invalid
from orchestrator.console.guards import form_token, needs_own_site

_KEY = re.compile(r"[0-9a-f-]{36}")
#: Fields of a form, and bytes of one that is no file.
_MOST_FIELDS, _MOST_BYTES = 60, 100_000


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that was chosen in a form."""

    name: str
    kind: str
    """Its media type, as the browser says."""
    content: bytes = field(repr=False)


class Form:
    """The fields of a form that may act."""

    def __init__(self, values: Mapping[str, str], files: Mapping[str, SentFile]) -> None:
        self.values, self.files = values, files

    def text(self, name: str) -> str | None:
        """Return a field without the spaces around it; None if it is empty."""
        return self.values.get(name, "").strip() or None

    def number(self, name: str, unit: int = 1) -> int | None:
        """Return a whole number of units. Raises Problem for any other text."""
        text = self.text(name)
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise invalid(fault(name, "must be a whole number", "int"))
        return int(text) * unit

    def is_set(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return name in self.values

    @property
    def key(self) -> str:
        """The key under which the form acts once. Raises Problem if it has none."""
        key = self.values.get("key", "")
        if not _KEY.fullmatch(key):
            raise invalid(fault("key", "the form is incomplete: load the page again", "missing"))
        return key


async def form_of(request: Request) -> Form:
    """Return what was sent. Raises Problem if the form is not of our own page."""
    needs_own_site(request)
    async with request.form(max_fields=_MOST_FIELDS, max_files=1, max_part_size=_MOST_BYTES) as sent:
        values = {name: one for name, one in sent.multi_items() if isinstance(one, str)}
        files = {name: await _read(one) for name, one in sent.multi_items() if isinstance(one, UploadFile)}
    expected = form_token(request.state.secret)
    if not hmac.compare_digest(values.get("form", "").encode(), expected.encode()):
        raise Problem(ApiCode.FORBIDDEN, "the form is of another sign-in: load the page again")
    return Form(values, {name: one for name, one in files.items() if one.name})


async def _read(sent: UploadFile) -> SentFile:
    """Return the whole file: a request has no more bytes than `guards` allows."""
    kind = (sent.content_type or "").partition(";")[0].strip().lower()
    return SentFile(sent.filename or "", kind, await sent.read())


def new_key() -> str:
    """Return a key for a form."""
    return str(uuid.uuid4())


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None and value != {}}
