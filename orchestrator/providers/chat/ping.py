"""The minimal ping over OpenAI's wire format, for every platform that speaks it.

An answer with status 200 proves that a model works by one rule for chat and one for speech. Neither requires text: a
reasoning model may spend all its tokens before it writes any, and silence contains no words."""

import io
import json
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.providers.chat.token_limits import (
    BodyVariant,
    BodyVariants,
    first_variant,
    ran_out_of_tokens,
)
from orchestrator.providers.http.client import Call, HttpClient, NoAnswer, Unanswered
from orchestrator.providers.http.clock import monotonic
from orchestrator.providers.http.reach import AddressRefused
from orchestrator.providers.port.answers import RETRY_AFTER_MAX, FirstEvent, Response
from orchestrator.providers.port.driver import Endpoint, Probe, Target
from orchestrator.providers.port.errors import NotSent
from orchestrator.providers.port.faults import (
    Rule,
    describe,
    effective_status,
    has_error,
    limits_whole_key,
    read_fault,
    says_expired,
    verdict_of,
)
from orchestrator.providers.shared.looks import look
from orchestrator.providers.shared.numbers import read_decimal, read_seconds
from orchestrator.rules.sessions.pings import Silence
from orchestrator.rules.values import ModelType, Verdict

#: Samples of silence in the ping of a speech model: a fifth of a second.
_SAMPLE_RATE, _SAMPLES = 16_000, 3_200

#: Bodies that one provider's pings keep, about 200 bytes each.
MOST_BODIES = 2_000

#: The most that one ping can use. A larger number is ignored: it would overflow the meters, and fail the settlement of
#: all pings of the same batch.
_MOST_TOKENS, _MOST_DOLLARS = 1_000_000, 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """How one platform's pings differ from plain ones."""

    rules: Sequence[Rule] = ()
    """Rules that come before the shared ones."""
    most_tokens: int = 256
    """The most tokens that a fallback asks for."""
    cost_header: str | None = None
    looks: Sequence[str] = ()
    """Paths where the server answers while it works, relative to the endpoint's URL."""
    streams: bool = False
    """The platform wants a stream; its first chunk is the answer, and no more is read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionName:
    """How a ping names its session, at platforms where the endpoint alone does not."""

    body: Mapping[str, str] = field(default_factory=dict)
    """More keys of the body."""
    headers: Mapping[str, str] = field(default_factory=dict)


#: The endpoint, or its key, leads to one session.
_UNNAMED = SessionName()


class Pinger:
    """Sends pings, and remembers for each model which form of the request works at one provider."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http
        self._variants: dict[str, str] = {}
        self._bodies: dict[tuple[str, BodyVariant], tuple[Dialect, bytes]] = {}

    async def probe(
        self, target: Target, endpoint: Endpoint, dialect: Dialect, named: SessionName = _UNNAMED
    ) -> Probe:
        """Ping once, with every token-limit fallback. Every fault is returned as a verdict."""
        ping = _Ping(self._http, target, endpoint, dialect, named, self._body)
        if target.model_type is ModelType.ASR:
            return await ping.transcribe()
        probe = await ping.complete(target.variant or self._variants.get(endpoint.model))
        if probe.variant is not None:
            self._variants[endpoint.model] = probe.variant
        return probe

    def _body(self, model: str, variant: BodyVariant, dialect: Dialect) -> bytes:
        """Return the request's body, which is encoded once for all sessions of a model."""
        made_for, body = self._bodies.get((model, variant), (None, b""))
        if made_for != dialect:
            if len(self._bodies) >= MOST_BODIES:
                self._bodies.clear()
            body = encoded(model, variant, dialect)
            self._bodies[(model, variant)] = dialect, body
        return body


class _Ping:
    """One probe under way, with its deadline."""

    def __init__(
        self,
        http: HttpClient,
        target: Target,
        endpoint: Endpoint,
        dialect: Dialect,
        named: SessionName,
        body: Callable[[str, BodyVariant, Dialect], bytes],
    ) -> None:
        self._http, self._target, self._endpoint, self._dialect = http, target, endpoint, dialect
        self._named, self._body = named, body
        self._begun = monotonic()

    async def complete(self, variant: str | None) -> Probe:
        variants = BodyVariants(first_variant(variant, self._target.max_tokens), self._dialect.most_tokens)
        while True:
            if self._too_late():
                learned = str(variants.current) if variants.fell_back else None
                return _not_begun(learned)
            plain = self._body(self._endpoint.model, variants.current, self._dialect)
            answer = await self._ask(content=_with(plain, self._named.body), repeats=True)
            if isinstance(answer, Probe):
                return answer
            probe = self._judged(answer, variant=str(variants.current))
            settled = probe.verdict is Verdict.ALIVE or not _dislikes_body(answer)
            if settled or not variants.fall_back(read_fault(answer).text):
                return probe

    async def transcribe(self) -> Probe:
        if self._too_late():
            return _not_begun(None)
        files = {"file": ("ping.wav", silence(), "audio/wav")}
        answer = await self._ask(files=files, form={"model": self._endpoint.model, **self._named.body})
        return answer if isinstance(answer, Probe) else self._judged(answer)

    async def _ask(self, **content: Any) -> Response | Probe:
        remaining = self._begun + self._target.timeout_seconds - monotonic()
        asr = self._target.model_type is ModelType.ASR
        call = Call(
            method="POST",
            url=self._endpoint.url.rstrip("/") + ("/audio/transcriptions" if asr else "/chat/completions"),
            timeout_seconds=max(remaining, 0),
            auth=self._endpoint.auth,
            secret=self._target.secret,
            headers=self._named.headers,
            enough=FirstEvent() if self._dialect.streams else None,
            **content,
        )
        try:
            return await self._http.ask(call)
        except (NotSent, NoAnswer) as error:
            elapsed = round((monotonic() - self._begun) * 1000)
            lasting = isinstance(error, AddressRefused)
            asks_elsewhere = isinstance(error, Unanswered) and error.failed_here is None
            return Probe(
                verdict=Verdict.MISCONFIGURED if lasting else Verdict.TRANSIENT,
                latency_ms=elapsed,
                detail=str(error),
                not_begun=error.failed_here is not None,
                failed_here=error.failed_here,
                silence=await self._looked() if asks_elsewhere else None,
            )

    async def _looked(self) -> Silence:
        """Check whether the server answers elsewhere while it works on another request."""
        looks = self._dialect.looks
        return Silence(await look(self._http, self._endpoint, self._target, looks))

    def _judged(self, answer: Response, variant: str | None = None) -> Probe:
        verdict = judge(answer, self._target.model_type, self._dialect.rules)
        alive = verdict is Verdict.ALIVE
        return Probe(
            verdict=verdict,
            latency_ms=answer.elapsed_ms,
            detail="" if alive else describe(answer),
            retry_after_seconds=None if alive else _rest(answer),
            whole_key=verdict is Verdict.THROTTLED and limits_whole_key(answer, self._dialect.rules),
            expired=verdict is Verdict.GONE and says_expired(answer),
            variant=variant if alive else None,
            tokens=_tokens(answer),
            cost_usd=_cost(answer, self._dialect.cost_header),
        )

    def _too_late(self) -> bool:
        begin_by = self._target.begin_by
        return begin_by is not None and monotonic() > begin_by


def judge(answer: Response, model_type: ModelType, rules: Sequence[Rule] = ()) -> Verdict:
    """Return what a ping's answer shows of the model."""
    if answer.status == 200 and not has_error(answer):
        return judge_transcription(answer) if model_type is ModelType.ASR else judge_completion(answer)
    if _dislikes_body(answer) and ran_out_of_tokens(read_fault(answer).text):
        return Verdict.ALIVE
    return verdict_of(answer, rules)


def encoded(model: str, variant: BodyVariant, dialect: Dialect) -> bytes:
    """Return the body of a ping as JSON."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "ping"}],
        **variant.body,
        "stream": dialect.streams,
    }
    return _as_json(body)


def _with(body: bytes, more: Mapping[str, str]) -> bytes:
    """Return a JSON object with more keys at its end. The rest of it is not encoded again."""
    return body[:-1] + b"," + _as_json(more)[1:] if more else body


def _as_json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def silence() -> bytes:
    """Return a fraction of a second of silence as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_SAMPLE_RATE)
        sound.writeframes(bytes(2 * _SAMPLES))
    return file.getvalue()


def _dislikes_body(answer: Response) -> bool:
    return effective_status(answer) in (400, 422)


def _not_begun(variant: str | None) -> Probe:
    return Probe(
        verdict=Verdict.TRANSIENT,
        latency_ms=0,
        detail="too late to begin",
        variant=variant,
        not_begun=True,
    )


def _rest(answer: Response) -> float | None:
    if answer.retry_after_seconds is not None:
        return answer.retry_after_seconds
    body = answer.json
    estimate = body.get("estimated_time") if isinstance(body, Mapping) else None
    return read_seconds(estimate, RETRY_AFTER_MAX)


def _tokens(answer: Response) -> int:
    body = answer.json
    usage = body.get("usage") if isinstance(body, Mapping) else None
    total = usage.get("total_tokens") if isinstance(usage, Mapping) else None
    return total if isinstance(total, int) and 0 < total <= _MOST_TOKENS else 0


def _cost(answer: Response, header: str | None) -> str | None:
    """Return the platform's own number of dollars, if it is plausible as the price of a ping."""
    cost = read_decimal(answer.headers.get(header)) if header else None
    return f"{cost:f}" if cost is not None and 0 <= cost <= _MOST_DOLLARS else None


def judge_completion(answer: Response) -> Verdict:
    """Return ALIVE for a choice that is an object with a message, a delta or a text, and without an error."""
    body = answer.json
    if not isinstance(body, Mapping) or "choices" not in body:
        return Verdict.MISCONFIGURED  # a different service answers here
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
