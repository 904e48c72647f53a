"""Ask a session's endpoint what a person asks, over OpenAI's wire format: one chat completion, or one transcription."""

import base64
from collections.abc import Mapping
from typing import Any

from orchestrator.providers.http.client import Call, HttpClient, NoAnswer
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Endpoint, Secret
from orchestrator.providers.port.errors import NotSent
from orchestrator.providers.port.faults import describe, has_error
from orchestrator.providers.port.questions import Question, Reply
from orchestrator.rules.upstream.addresses import Reach

#: Seconds for one answer, and bytes of it.
TIMEOUT, MOST_BYTES = 120.0, 1_000_000


class Conversation:
    """Asks endpoints. Those that another party opened are asked only within `reach`."""

    def __init__(self, http: HttpClient, reach: Reach) -> None:
        self._http, self._reach = http, reach

    async def ask(
        self, endpoint: Endpoint, secret: Secret | None, question: Question, *, attached: bool
    ) -> Reply:
        """Ask once. Every fault is a reply that says what happened."""
        http = self._http.checked(self._reach) if attached else self._http
        try:
            answer = await http.ask(_call(endpoint, secret, question))
        except (NotSent, NoAnswer) as error:
            return Reply(ok=False, text=str(error), elapsed_ms=0)
        return _reply(answer, speech=question.speech)


def _call(endpoint: Endpoint, secret: Secret | None, question: Question) -> Call:
    content: dict[str, Any] = {"json": _body(endpoint.model, question)}
    if question.speech and question.attachment is not None:
        heard = question.attachment
        content = {
            "files": {"file": (heard.name, heard.content, heard.kind)},
            "form": {"model": endpoint.model},
        }
    return Call(
        method="POST",
        url=endpoint.url.rstrip("/") + ("/audio/transcriptions" if question.speech else "/chat/completions"),
        timeout_seconds=TIMEOUT,
        auth=endpoint.auth,
        secret=secret,
        most_bytes=MOST_BYTES,
        **content,
    )


def _body(model: str, question: Question) -> dict[str, Any]:
    system = [{"role": "system", "content": question.system}] if question.system else []
    user = {"role": "user", "content": _content(question)}
    return {"model": model, "messages": [*system, user], "stream": False, **question.options}


def _content(question: Question) -> Any:
    seen = question.attachment
    if seen is None:
        return question.text
    url = f"data:{seen.kind};base64,{base64.b64encode(seen.content).decode()}"
    return [{"type": "text", "text": question.text}, {"type": "image_url", "image_url": {"url": url}}]


def _reply(answer: Response, *, speech: bool) -> Reply:
    said = None
    if answer.status == 200 and not has_error(answer):
        said = _heard(answer.json) if speech else _said(answer.json)
    if said is None:
        return Reply(ok=False, text=describe(answer), elapsed_ms=answer.elapsed_ms)
    return Reply(ok=True, text=said, elapsed_ms=answer.elapsed_ms, tokens=_tokens(answer.json))


def _said(body: Any) -> str | None:
    """Return the text of the first choice; empty where the model spent its tokens before it wrote any."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, Mapping) else None
    if not isinstance(message, Mapping):
        return None
    text = message.get("content")
    return text if isinstance(text, str) else ""


def _heard(body: Any) -> str | None:
    text = body.get("text") if isinstance(body, Mapping) else None
    return text if isinstance(text, str) else None


def _tokens(body: Any) -> int | None:
    usage = body.get("usage") if isinstance(body, Mapping) else None
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return total if isinstance(total, int) else None
