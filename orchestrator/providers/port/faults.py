"""From an answer to a fault, and from a fault to a verdict: the forms of error bodies, and the table of rules.

A verdict is looked up first by the body's code or message (rules are data; a driver's own come before the shared ones),
then by the status. Faults of the transport are not handled here: they are TRANSIENT."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.secrets import beginning, brief
from orchestrator.rules.values import Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamFault:
    """The contents of an error body, whatever its form."""

    message: str = ""
    codes: tuple[str, ...] = ()
    """Its codes, types and parameters, most telling first."""
    status: int | None = None
    """A status inside the body."""

    @property
    def text(self) -> str:
        """Everything that rules are matched against."""
        return " ".join((*self.codes, self.message))


@dataclass(frozen=True, slots=True)
class Rule:
    """An answer with one of `statuses`, and a text that matches `pattern`, has this verdict."""

    verdict: Verdict
    statuses: frozenset[int]
    pattern: re.Pattern[str]
    whole_key: bool = False
    """THROTTLED: it is the key that must wait, with every model."""


def rule(verdict: Verdict, statuses: Iterable[int], pattern: str) -> Rule:
    return Rule(verdict, frozenset(statuses), re.compile(pattern, re.IGNORECASE | re.DOTALL))


#: Rules by text are bound to statuses, so that a login page saying "your session expired" kills nothing.
SHARED_RULES: tuple[Rule, ...] = (
    # First what single servers say in words of their own (tests/providers/known_answers.jsonl has the whole answers).
    rule(
        Verdict.OUT_OF_BALANCE,
        (400, 401, 402, 403, 412, 429),
        r"\bbudget_exceeded\b|\bbudget has been exceeded\b|\bExceededBudget\b|\bkey limit exceeded\b"
        r"|\bmonthly spending limit\b",
    ),
    rule(Verdict.LOADING, (400, 404), r"\bno models? loaded\b"),
    rule(Verdict.CREDENTIALS, (400,), r"\bno_db_connection\b|\bapi key not valid\b"),
    rule(
        Verdict.GONE,
        (400, 404),
        r"\binvalid model name passed in model=(?!none\b)\S|\bno 'model_name' with this string\b"
        r"|\bis not a valid model id\b|\bmodel not exist\b|\binvalid_model\b.*\binvalid model: "
        r"|\bmodel_decommissioned\b|\bmodel_not_available\b",
    ),
    rule(Verdict.TRANSIENT, (400,), r"\bno healthy deployments for this model\b"),
    rule(Verdict.THROTTLED, (498,), r"\bcapacity[_ ]exceeded\b"),
    rule(
        Verdict.OUT_OF_BALANCE,
        (400, 402, 403, 429, 500),
        r"insufficient[_ ](?:quota|balance|credits?|funds)|run out of credits|amount exceeds balance"
        r"|billing[_ ](?:not[_ ]active|hard[_ ]limit)",
    ),
    # Before the weaker words: who limits rates names the page where more is sold.
    rule(
        Verdict.THROTTLED,
        (429,),
        r"rate[_ -]?limit[_ ](?:has been )?(?:exceeded|reached|error)|too many requests"
        r"|\b(?:try again|retry|resets?) (?:in|after|at)\b|\bper[ _-]?(?:second|minute|min|hour|day)\b",
    ),
    rule(
        Verdict.OUT_OF_BALANCE,
        (400, 402, 403, 429),
        r"\b(?:credits?|balance|funds)\b|check your (?:plan and )?billing|_quota"
        r"|\bquota(?!.*\bper[ _-]?(?:second|minute|hour|day)\b)",  # those are rate limits
    ),
    rule(
        Verdict.GONE,
        (400, 404, 410, 500),
        r"(?<![/\w])session[_ ](?:has |is |was |id )*(?:been )?(?:already )?"
        r"(?:expired|not[_ ]found|closed|terminated|does not exist)|\bmodel_not_found\b",
    ),
    rule(
        Verdict.GONE,
        (404, 410),
        r"(?<![/\w])(?:model|session)s?\b.*"
        r"(?:not[_ ](?:be )?found|not exist|unknown|not available|no longer|deleted)"
        r"|(?:no such|unknown|not find|not found:?)\W+(?:\w+\W+){0,3}(?:model|session)s?\b",
    ),
    rule(Verdict.LOADING, (500, 502, 503), r"\bmodel\b.*\bis (?:currently |still )?(?:cold|loading)\b"),
    rule(Verdict.LOADING, (503,), r"\bloading\b|estimated_time|\bcold\b|warming up|starting up"),
    rule(Verdict.THROTTLED, (500,), r"rate[_ -]?limit|too many requests"),
    rule(Verdict.CREDENTIALS, (400, 500), r"(?:invalid|incorrect)[_ ]api[_ ]key|authentication_error"),
)

_BY_STATUS: Mapping[int, Verdict] = {
    401: Verdict.CREDENTIALS,
    402: Verdict.OUT_OF_BALANCE,
    403: Verdict.CREDENTIALS,
    408: Verdict.TRANSIENT,
    425: Verdict.TRANSIENT,
    429: Verdict.THROTTLED,
}

#: A platform's own upstream may fail inside a 500: "400 status code (no body)", "Error code: 429 - …".
_WRAPPED = re.compile(
    r"(?:^|: )([45]\d\d) (?=[A-Z{]|status)|\b(?:[Ss]tatus(?: [Cc]ode)?|[Ee]rror code|HTTP)[ :=]+([45]\d\d)\b"
)

#: An end by the platform's own schedule. What expires with 401 or 403 is a secret.
_EXPIRED = re.compile(r"(?<![a-z])expired(?![a-z])", re.IGNORECASE)
_OF_SECRETS = frozenset({401, 403})

#: What the rate limit covers, where that is not the model under the key ("… in organization x" names a model before).
_WHOLE = r"(?:api[ _-]?key|key|account|user|team|organi[sz]ation|workspace|tenant)\b"
_OF_KEY = re.compile(
    rf"\blimits? (?:has been |was |is )?(?:exceeded|reached) (?:for|by|of|on) (?:your |this |the )?{_WHOLE}"
    rf"|\b(?:your|this|the) {_WHOLE}(?:'s)? (?:rate[ _-]?limit|has (?:exceeded|reached|hit))"
    rf"|\btoo many requests (?:for|from|by|with) (?:your |this |the )?{_WHOLE}|\blimit type ?[=:] ?{_WHOLE}"
    r"|\bacross all models\b",
    re.IGNORECASE,
)
_OF_MODEL = re.compile(r"(?<!all )\bmodel\b", re.IGNORECASE)

_SPEAKING_KEYS = ("error", "errors", "detail", "message", "msg")
_CODE_KEYS = ("code", "type", "param")
_STATUS_KEYS = ("code", "statusCode", "status")

#: Of an error body no more than this is read: characters of its message and of a code, codes, levels.
LONGEST, LONGEST_CODE, MOST_CODES, DEEPEST = 2000, 100, 20, 8


def verdict_of(answer: Response, rules: Sequence[Rule] = ()) -> Verdict:
    """Return the verdict of an answer that is not a success."""
    fault, status = read_fault(answer), effective_status(answer)
    known = _fitting((*rules, *SHARED_RULES), fault, status)
    if known is not None:
        return known.verdict
    if status == 403 and answer.is_html:
        return Verdict.MISCONFIGURED  # a firewall's page says nothing about the key
    if status == 503 and "retry-after" in answer.headers:
        return Verdict.LOADING
    return _BY_STATUS.get(status, Verdict.TRANSIENT if status >= 500 else Verdict.MISCONFIGURED)


def limits_whole_key(answer: Response, rules: Sequence[Rule] = ()) -> bool:
    """Return whether a THROTTLED answer limits the key as a whole, and not only this model under it."""
    fault = read_fault(answer)
    known = _fitting(rules, fault, effective_status(answer))
    if known is not None:
        return known.whole_key
    return bool(_OF_KEY.search(fault.text)) and not _OF_MODEL.search(fault.text)


def _fitting(rules: Sequence[Rule], fault: UpstreamFault, status: int) -> Rule | None:
    return next((one for one in rules if status in one.statuses and one.pattern.search(fault.text)), None)


def says_expired(answer: Response) -> bool:
    """Return whether a GONE answer says that the session expired."""
    return effective_status(answer) not in _OF_SECRETS and names_expiry(read_fault(answer).text)


def names_expiry(text: str) -> bool:
    """Return whether the text says that the end came on schedule."""
    return bool(_EXPIRED.search(text))


def effective_status(answer: Response) -> int:
    """Return the status that counts: the embedded one if a 200 or a 500 wraps an upstream error."""
    if answer.status == 200 and has_error(answer):
        return _embedded(read_fault(answer)) or 500
    if answer.status == 500:
        return _embedded(read_fault(answer)) or 500
    return answer.status


def has_error(answer: Response) -> bool:
    """Return whether the body holds an error, at its top or inside a choice (as OpenRouter reports a failing
    upstream)."""
    body = answer.json
    return isinstance(body, Mapping) and bool(body.get("error") or _choice_errors(body))


def read_fault(answer: Response) -> UpstreamFault:
    """Read every form of error body that platforms are known to send."""
    if answer.oversized:
        return UpstreamFault(message="the body is too large to read")
    if answer.is_html:
        return UpstreamFault(message="")  # a proxy's page: its words are not the platform's
    body = answer.json
    return _bounded(_fault(body) if body is not None else UpstreamFault(message=answer.text), answer.hidden)


def _bounded(fault: UpstreamFault, hidden: Sequence[str]) -> UpstreamFault:
    """Bound the text that patterns are matched against, since the loop that runs all pings does the matching. Secrets
    are removed before the cut, as half of one would not be recognised."""
    codes = tuple(beginning(code, hidden, LONGEST_CODE) for code in fault.codes[:MOST_CODES])
    return replace(fault, message=beginning(fault.message, hidden, LONGEST), codes=codes)


def describe(answer: Response) -> str:
    """Return the fault as one line for people, without secrets."""
    fault = read_fault(answer)
    said = ": ".join(part for part in (fault.codes[0] if fault.codes else "", fault.message) if part)
    return brief(f"HTTP {answer.status} {said or _appearance(answer)}", answer.hidden)


def _appearance(answer: Response) -> str:
    if 300 <= answer.status < 400:
        return "a redirect, which is not followed"
    if answer.is_html:
        return "an HTML page"
    if answer.status == 200 and answer.body:
        return "without a completion"
    return "an empty body" if not answer.body else "without an error message"


def _embedded(fault: UpstreamFault) -> int | None:
    if fault.status not in (None, 500):
        return fault.status
    found = _WRAPPED.search(fault.message)
    return int(found[1] or found[2]) if found else None


def _fault(value: Any, depth: int = 0) -> UpstreamFault:
    if depth > DEEPEST:
        return UpstreamFault(message="")
    if isinstance(value, Mapping):
        return _mapping_fault(value, depth)
    if isinstance(value, list):
        return _joined([_fault(item, depth + 1) for item in value[:5]])
    return UpstreamFault(message=value if isinstance(value, str) else "")


def _mapping_fault(body: Mapping[str, Any], depth: int) -> UpstreamFault:
    spoken = [body[key] for key in _SPEAKING_KEYS if body.get(key)]
    inner = _joined([_fault(value, depth + 1) for value in (*spoken, *_choice_errors(body))])
    codes = [str(body[key]) for key in _CODE_KEYS if isinstance(body.get(key), str | int)]
    if "estimated_time" in body:
        codes.append("estimated_time")
    loc = ".".join(str(part) for part in body["loc"]) if isinstance(body.get("loc"), list) else ""
    message = f"{loc}: {inner.message}" if loc else inner.message
    return UpstreamFault(message=message, codes=(*inner.codes, *codes), status=inner.status or _status(body))


def _choice_errors(body: Mapping[str, Any]) -> list[Any]:
    choices = body.get("choices")
    found = choices[:5] if isinstance(choices, list) else []
    return [choice["error"] for choice in found if isinstance(choice, Mapping) and choice.get("error")]


def _status(body: Mapping[str, Any]) -> int | None:
    for key in _STATUS_KEYS:
        text = str(body.get(key, ""))
        if text.isdecimal() and len(text) == 3 and 400 <= int(text) < 600:
            return int(text)
    return None


def _joined(faults: Sequence[UpstreamFault]) -> UpstreamFault:
    return UpstreamFault(
        message="; ".join(dict.fromkeys(fault.message for fault in faults if fault.message)),
        codes=tuple(code for fault in faults for code in fault.codes),
        status=next((fault.status for fault in faults if fault.status), None),
    )
