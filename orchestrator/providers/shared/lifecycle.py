"""Common code of the control calls of all platforms: refusals by verdict, closes with answers that are no proof, and
the check of a model list."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, assert_never

from orchestrator.providers.http.client import Call, HttpClient, NoAnswer
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Closed
from orchestrator.providers.port.errors import (
    CannotAsk,
    CredentialRefused,
    Misconfigured,
    ModelMissing,
    NotClosed,
    NotSent,
    OutcomeUnknown,
    OutOfBalance,
    ProviderError,
    Throttled,
    Unavailable,
)
from orchestrator.providers.port.faults import Rule, describe, limits_whole_key, verdict_of
from orchestrator.providers.shared.paths import is_readable
from orchestrator.rules.values import Verdict


async def ask_reading(http: HttpClient, call: Call) -> Response:
    """Send a call that changes nothing. If its answer is lost, it may be sent again."""
    try:
        return await http.ask(call)
    except NoAnswer as error:
        raise _lost(error, NotSent(str(error))) from error


async def ask_changing(http: HttpClient, call: Call) -> Response:
    """Send a call that changes something. If its answer is lost, it may have taken effect."""
    try:
        return await http.ask(call)
    except NoAnswer as error:
        raise _lost(error, OutcomeUnknown(str(error))) from error


def _lost(error: NoAnswer, raised: ProviderError) -> ProviderError:
    raised.failed_here = error.failed_here
    return raised


def may_have_happened(answer: Response) -> bool:
    """Return whether an answer without the handle leaves open what a changing call did: a success that cannot be read,
    "see other" (the answer is at another address), a server's own timeout, and its failures. Other answers refuse."""
    return 200 <= answer.status < 300 or answer.status in (303, 408) or answer.status >= 500


async def closed_or_ended(
    closing: Awaitable[Closed], look: Callable[[ProviderError], Awaitable[Closed]]
) -> Closed:
    """Close. If the answer is lost or is no proof, return what the platform then says about the session.

    `look` gets the failure of the close, and asks for status or list. It raises NotClosed if the session lives, and
    CannotAsk if there is neither. Raises the failure of the close if nothing proves an end."""
    try:
        return await closing
    except ProviderError as error:
        try:
            return await look(error)
        except CannotAsk:
            raise error from None
        except ProviderError as still:
            if isinstance(error, NotClosed):
                raise NotClosed(f"{error}; {still}") from error
            raise error from still


@contextmanager
def finding_out(*definite: type[ProviderError]) -> Iterator[None]:
    """Turn errors of a resolve into OutcomeUnknown, except Throttled and `definite` ones: a platform that refuses now
    may have opened before."""
    try:
        yield
    except ProviderError as error:
        if isinstance(error, (OutcomeUnknown, Throttled, *definite)):
            raise
        raise OutcomeUnknown(f"still not known: {error}") from error


@contextmanager
def not_closed() -> Iterator[None]:
    """Turn every error of a close into NotClosed."""
    try:
        yield
    except NotClosed:
        raise
    except ProviderError as error:
        raise NotClosed(str(error)) from error


def without_proof(answer: Response) -> NoReturn:
    """Raise what the answer to a close means where no answer is a proof: OutcomeUnknown for one that cannot be read, or
    that comes from a failing server; else NotClosed."""
    if answer.status >= 500 or answer.status == 408 or not is_readable(answer):
        raise OutcomeUnknown(describe(answer))
    raise NotClosed(describe(answer))


def refusal(answer: Response, rules: Sequence[Rule] = ()) -> ProviderError:
    """Return the error that a bad answer means, given that the call changed nothing."""
    said = describe(answer)
    match verdict_of(answer, rules):
        case Verdict.CREDENTIALS:
            return CredentialRefused(said)
        case Verdict.OUT_OF_BALANCE:
            return OutOfBalance(said)
        case Verdict.THROTTLED:
            whole_key = limits_whole_key(answer, rules)
            return Throttled(said, answer.retry_after_seconds, whole_key=whole_key)
        case Verdict.LOADING | Verdict.TRANSIENT | Verdict.ALIVE:
            return Unavailable(said)
        case Verdict.GONE:
            return ModelMissing(said)
        case Verdict.MISCONFIGURED:
            return Misconfigured(said)
        case unknown:
            assert_never(unknown)


def listed_models(answer: Response, rules: Sequence[Rule] = ()) -> list[Mapping[str, Any]]:
    """Return the entries of a model list. Raises what a bad answer means."""
    body = answer.json
    entries = body.get("data") if isinstance(body, Mapping) else None
    if answer.status != 200 or not isinstance(entries, list):
        raise refusal(answer, rules)
    return [entry for entry in entries if isinstance(entry, Mapping)]
