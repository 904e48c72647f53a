"""The kinds of fields that jobs have, with their bounds. No message repeats what was given."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.rules.installation.secret_texts import NOT_A_REFERENCE, is_reference
from orchestrator.rules.states import State
from orchestrator.rules.text import MAX_DESCRIPTION, MAX_NAME, is_text, line_fault, text_fault
from orchestrator.rules.values import ModelSource, ModelType, OnQuota
from orchestrator.validation.wording import where, wrong

#: Ten years, in seconds.
LONGEST = 315_360_000
#: More than any session, item or balance will count.
LARGEST = 10**9
MOST_NODES = 10_000
#: Bytes of metadata as compact JSON.
METADATA_BYTES = 4096
#: How deep metadata may be nested.
METADATA_LEVELS = 32

_MONEY = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")
_NOTHING = re.compile(r"0{1,12}(\.0{1,6})?")
#: A limit that is none.
UNLIMITED: Final = "unlimited"
#: Instead of an account's own number: its plan's again.
THE_PLANS: Final = "plan"
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def fault(kind: str, sentence: str, *names: str) -> PydanticCustomError:
    """Return a fault by its kind (for machines) and a sentence (for people), which repeats no value. Other fields
    that it names are `{}` in it, and given in `names`: a command line has other names for them."""
    return wrong(sentence, kind, names)


def _without_fault(fault_of: Callable[[str], str | None], kind: str) -> AfterValidator:
    def checked(text: str) -> str:
        sentence = fault_of(text)
        if sentence is not None:
            raise fault(kind, sentence)
        return text

    return AfterValidator(checked)


def _matching(pattern: str, kind: str, sentence: str, longest: int) -> tuple[AfterValidator, WithJsonSchema]:
    compiled = re.compile(pattern)
    schema = {"type": "string", "pattern": f"^{pattern}$", "maxLength": longest}

    return where(compiled.fullmatch, sentence, kind), WithJsonSchema(schema)


def _limit(value: object) -> int | str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value not in (UNLIMITED, THE_PLANS) and not (whole and 0 <= value <= LARGEST):  # type: ignore[operator]
        known = f'"{UNLIMITED}", or "{THE_PLANS}" for the plan\'s'
        raise fault("limit", f"must be a whole number from 0 to {LARGEST}, {known}")
    return value  # type: ignore[return-value]


def _overdraft(value: object) -> Decimal | Literal["plan"]:
    if value == THE_PLANS:
        return THE_PLANS
    nothing = not isinstance(value, bool | float) and bool(_NOTHING.fullmatch(str(value)))
    return Decimal(0) if nothing else _money(value)


def _money(value: object) -> Decimal:
    """Return the amount of a JSON value, or of the Decimal that a service in Python has."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise fault(
            "money_type",
            'must be money: a decimal text such as "12.50" (or a whole number), never a fraction',
        )
    text = format(value, "f") if isinstance(value, Decimal) else str(value)
    if not _MONEY.fullmatch(text) or not Decimal(text):
        raise fault(
            "money_format", "must be above 0 and below 10^12, with at most 6 decimal places and no exponent"
        )
    return Decimal(text)


def _timestamp(value: object) -> datetime:
    """Return the instant of a JSON text, or of the aware datetime that a service in Python has."""
    text = value.isoformat() if isinstance(value, datetime) else value
    if isinstance(text, str) and _TIMESTAMP.fullmatch(text):
        try:
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise fault("timestamp", 'must be an RFC 3339 time with its offset, such as "2025-09-15T15:59:55Z"')


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \\<>\"'`{}|^")
    extra = "@" in parts.netloc or "?" in url or "#" in url
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname) and not extra


def _is_plain(value: Any, levels: int = METADATA_LEVELS) -> bool:
    match value:
        case str():
            return is_text(value)
        case dict():
            below = [*value, *value.values()]
        case list():
            below = value
        case _:
            return True
    return levels > 0 and all(_is_plain(one, levels - 1) for one in below)


def _is_small(metadata: dict[str, Any]) -> bool:
    return len(json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()) <= METADATA_BYTES


def _exactly(amount: Decimal | Literal["plan"]) -> str:
    """Return one text per amount, however it was written: 1.20, 1.2 and 01.2 are the same request."""
    if amount == THE_PLANS:
        return THE_PLANS
    return format(amount.normalize(), "f")


def _in_utc(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


_ONE_LINE = _without_fault(line_fault, "one_line")
_SEVERAL_LINES = _without_fault(text_fault, "text")

Identifier: TypeAlias = Annotated[
    str,
    *_matching(
        "[A-Za-z0-9._:-]{1,64}",
        "identifier",
        "must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -",
        longest=64,
    ),
]
ModelIdentifier: TypeAlias = Annotated[
    str,
    *_matching(
        "[A-Za-z0-9._:/-]{1,64}",
        "identifier",
        "must be 1 to 64 of the characters A-Z a-z 0-9 . _ : / -",
        longest=64,
    ),
]
Currency: TypeAlias = Annotated[
    str, *_matching("[A-Z]{3,8}", "currency", "must be a currency's code: 3 to 8 capital letters", longest=8)
]
Reference: TypeAlias = Annotated[
    str,
    Field(max_length=300),
    where(is_reference, NOT_A_REFERENCE, "reference"),
]
Money: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(_money),
    PlainSerializer(_exactly),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_MONEY.pattern}$"},
                {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10**12},
            ]
        }
    ),
]
Overdraft: TypeAlias = Annotated[
    Decimal | Literal["plan"],
    BeforeValidator(_overdraft),
    PlainSerializer(_exactly),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_MONEY.pattern}$"},
                {"type": "integer", "minimum": 0, "exclusiveMaximum": 10**12},
                {"const": THE_PLANS},
            ]
        }
    ),
]
Timestamp: TypeAlias = Annotated[
    datetime,
    BeforeValidator(_timestamp),
    PlainSerializer(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Cursor: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000), _ONE_LINE]
"""Where a page begins, as an earlier page said."""
PlainText: TypeAlias = Annotated[str, _ONE_LINE]
"""One line, possibly empty; the field adds its bound."""
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_NAME), _ONE_LINE]
Line: TypeAlias = Annotated[str, Field(min_length=1, max_length=200), _ONE_LINE]
Text: TypeAlias = Annotated[str, Field(max_length=MAX_DESCRIPTION), _SEVERAL_LINES]
"""Several lines, as descriptions and reasons have them."""
Tag: TypeAlias = Annotated[str, Field(min_length=1, max_length=64), _ONE_LINE]
Seconds: TypeAlias = Annotated[int, Field(ge=1, le=LONGEST)]
Count: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST)]
Limit: TypeAlias = Annotated[
    int | Literal["unlimited", "plan"],
    BeforeValidator(_limit),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": LARGEST}, {"enum": [UNLIMITED, THE_PLANS]}]}
    ),
]
Nodes: TypeAlias = Annotated[int, Field(ge=1, le=MOST_NODES)]
EndpointUrl: TypeAlias = Annotated[
    str,
    Field(max_length=2048),
    where(
        _is_endpoint,
        "must be a plain http:// or https:// URL without user, password, query or fragment",
        "endpoint_url",
    ),
]
Metadata: TypeAlias = Annotated[
    dict[str, Any],
    where(
        _is_plain,
        f"must have no control characters in its texts, and at most {METADATA_LEVELS} levels",
        "metadata_text",
    ),
    where(_is_small, f"must be at most {METADATA_BYTES} bytes as JSON", "metadata_size"),
]
# JSON has no enumerations: their members come as texts.
OnQuotaField: TypeAlias = Annotated[OnQuota, Field(strict=False)]
ModelTypeField: TypeAlias = Annotated[ModelType, Field(strict=False)]
ModelSourceField: TypeAlias = Annotated[ModelSource, Field(strict=False)]
StateField: TypeAlias = Annotated[State, Field(strict=False)]
