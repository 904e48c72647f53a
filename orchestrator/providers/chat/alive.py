"""Which answers with status 200 prove that a model works: one rule for chat, one for speech.

Neither rule requires text: a reasoning model may spend all its tokens before it writes any, and silence contains no
words."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.providers.port.answers import Response
from orchestrator.rules.values import Verdict


def judge_completion(answer: Response) -> Verdict:
    """Return ALIVE for a choice that is an object with a message, a delta or a text, and without an error."""
    body = answer.json
    if not isinstance(body, Mapping) or "choices" not in body:
        return Verdict.MISCONFIGURED  # another service answers here
    choices = body["choices"]
    if not choices and (choices is None or isinstance(choices, list)):
        return _without_choices(answer, body)
    if not isinstance(choices, list):
        return Verdict.MISCONFIGURED
    return _of_choices(choices)


def judge_transcription(answer: Response) -> Verdict:
    """Return ALIVE for an object with a `text`; the text of silence may be empty."""
    body = answer.json
    heard = isinstance(body, Mapping) and isinstance(body.get("text"), str)
    return Verdict.ALIVE if heard else Verdict.MISCONFIGURED


def _without_choices(answer: Response, body: Mapping[str, Any]) -> Verdict:
    """Judge an answer without a choice. A thinking model at its token limit may return only what it spent; and the
    first chunk of some streams (Azure) holds a filter's results and no choice yet."""
    begun = answer.is_stream and body["choices"] is not None
    return Verdict.ALIVE if begun or _spent_tokens(body) else Verdict.TRANSIENT


def _spent_tokens(body: Mapping[str, Any]) -> bool:
    usage = body.get("usage")
    spent = usage.get("completion_tokens") if isinstance(usage, Mapping) else None
    return isinstance(spent, int) and not isinstance(spent, bool) and spent > 0


def _of_choices(choices: Sequence[Any]) -> Verdict:
    said = [choice for choice in choices if _says_something(choice)]
    if any(not _failed(choice) for choice in said):
        return Verdict.ALIVE
    return Verdict.TRANSIENT if said else Verdict.MISCONFIGURED


def _says_something(choice: Any) -> bool:
    if not isinstance(choice, Mapping):
        return False
    spoken = any(isinstance(choice.get(key), Mapping) for key in ("message", "delta"))
    return spoken or isinstance(choice.get("text"), str)


def _failed(choice: Mapping[str, Any]) -> bool:
    return bool(choice.get("error")) or choice.get("finish_reason") == "error"
