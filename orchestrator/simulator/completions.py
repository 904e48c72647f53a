"""Chat completions and transcriptions as OpenAI writes them; most platforms answer the same way."""

import uuid
from dataclasses import dataclass
from typing import Any

from orchestrator.simulator.values import Model
from orchestrator.simulator.wire import Ask, Refusal, Reply, events

#: tokens that a reasoning model spends before its first visible word
REASONING_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A model's output within its limit of tokens."""

    words: tuple[str, ...]
    reasoned: int
    finish_reason: str

    @property
    def content(self) -> str | None:
        return " ".join(self.words) or None


def find_fault(ask: Ask) -> Refusal | None:
    """Return what is wrong with the chat request itself, if anything."""
    if not isinstance(ask.json, dict):
        return Refusal(status=400, message="We could not parse the JSON body of your request.")
    if not isinstance(ask.fields.get("model"), str):
        return Refusal(status=400, message="you must provide a model parameter", param="model")
    messages = ask.fields.get("messages")
    if not isinstance(messages, list) or not messages:
        return Refusal(status=400, message="'messages' must be a non-empty array", param="messages")
    limit = token_limit(ask)
    if limit is not None and limit < 1:
        return Refusal(status=400, message="Expected a value >= 1 for max_tokens", param="max_tokens")
    return None


def complete(ask: Ask, model: Model, now: float) -> Reply:
    """Answer a chat, whole or as a stream."""
    said = _say(ask, model)
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(now), "model": ask.fields.get("model")}
    if ask.streams:
        return events(_chunks(ask, head, said))
    message = {"role": "assistant", "content": said.content, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": said.finish_reason, "logprobs": None}
    body = {**head, "object": "chat.completion", "choices": [choice], "usage": _usage(ask, said)}
    return Reply(payload=body)


def token_limit(ask: Ask) -> int | None:
    """Return the limit that the caller set, under either of its names."""
    for name in ("max_completion_tokens", "max_tokens"):
        value = ask.fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def transcribe(ask: Ask) -> Reply:
    """Answer a transcription with the number of bytes received."""
    return Reply(payload={"text": f"I heard {len(ask.form['file'])} bytes."})


def _say(ask: Ask, model: Model) -> Completion:
    words = f"You said: {_last_text(ask)}".split()
    limit = token_limit(ask)
    reasoned = REASONING_TOKENS if model.reasoning else 0
    if limit is None or limit >= reasoned + len(words):
        return Completion(words=tuple(words), reasoned=reasoned, finish_reason="stop")
    left = max(0, limit - reasoned)
    return Completion(words=tuple(words[:left]), reasoned=min(limit, reasoned), finish_reason="length")


def _last_text(ask: Ask) -> str:
    last = ask.fields["messages"][-1]
    content = last.get("content") if isinstance(last, dict) else None
    if isinstance(content, list):
        parts = (part.get("text", "[image]") for part in content if isinstance(part, dict))
        return " ".join(str(part) for part in parts)
    return str(content)


def _chunks(ask: Ask, head: dict[str, Any], said: Completion) -> list[dict[str, Any]]:
    head = {**head, "object": "chat.completion.chunk"}
    texts = [f" {word}" if place else word for place, word in enumerate(said.words)]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": t} for t in texts)]
    chunks = [{**head, "choices": [_delta(delta, None)]} for delta in deltas]
    chunks.append({**head, "choices": [_delta({}, said.finish_reason)]})
    options = ask.fields.get("stream_options")
    if isinstance(options, dict) and options.get("include_usage"):
        chunks.append({**head, "choices": [], "usage": _usage(ask, said)})
    return chunks


def _delta(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _usage(ask: Ask, said: Completion) -> dict[str, Any]:
    prompt = len(_last_text(ask).split())
    completion = said.reasoned + len(said.words)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "completion_tokens_details": {"reasoning_tokens": said.reasoned},
    }
