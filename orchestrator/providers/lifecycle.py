"""What the control calls of all platforms share: refusals by verdict, and the check of a model list."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from orchestrator.providers.answers import Answer
from orchestrator.providers.errors import (
    CredentialRefused,
    Misconfigured,
    ModelMissing,
    NotSent,
    OutcomeUnknown,
    OutOfBalance,
    ProviderError,
    Throttled,
)
from orchestrator.providers.faults import Rule, describe, verdict_of
from orchestrator.providers.http import Call, HttpClient, NoAnswer
from orchestrator.rules.values import Verdict


async def ask_reading(http: HttpClient, call: Call) -> Answer:
    """A call that changes nothing: where its answer is lost, nothing was done, and it may be sent again."""
    try:
        return await http.ask(call)
    except NoAnswer as error:
        raise NotSent(str(error)) from error


async def ask_changing(http: HttpClient, call: Call) -> Answer:
    """A call that changes something: where its answer is lost, it may have happened."""
    try:
        return await http.ask(call)
    except NoAnswer as error:
        raise OutcomeUnknown(str(error)) from error


def refusal(answer: Answer, rules: Sequence[Rule] = ()) -> ProviderError:
    """The error that says what a bad answer means, given that nothing was changed by the call."""
    said = describe(answer)
    match verdict_of(answer, rules):
        case Verdict.CREDENTIALS:
            return CredentialRefused(said)
        case Verdict.OUT_OF_BALANCE:
            return OutOfBalance(said)
        case Verdict.THROTTLED:
            return Throttled(said, answer.retry_after_seconds)
        case Verdict.LOADING | Verdict.TRANSIENT | Verdict.ALIVE:
            return NotSent(said)
        case Verdict.GONE:
            return ModelMissing(said)
        case Verdict.MISCONFIGURED:
            return Misconfigured(said)
        case unknown:
            assert_never(unknown)


def listed_models(answer: Answer, rules: Sequence[Rule] = ()) -> list[Mapping[str, Any]]:
    """The entries of a model list. Raises what a bad answer means."""
    body = answer.json
    entries = body.get("data") if isinstance(body, Mapping) else None
    if answer.status != 200 or not isinstance(entries, list):
        raise refusal(answer, rules)
    return [entry for entry in entries if isinstance(entry, Mapping)]
