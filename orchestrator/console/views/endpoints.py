"""Integrate a running session: its endpoint, code that calls it; and try it with a small chat."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from fastapi import APIRouter, Request
from fastapi.responses import Response

from orchestrator.api.callers import caller_of, needs_sessions, process_of
from orchestrator.api.parameters import SessionId
from orchestrator.api.problems import fault, invalid
from orchestrator.console.access import OPERATE, READ
from orchestrator.console.backend import get
from orchestrator.console.forms import Form, form_of
from orchestrator.console.pages import page
from orchestrator.flows.operations.try_out import try_out, type_of
from orchestrator.flows.reports.samples import LANGUAGES, Sample
from orchestrator.providers.port.questions import Attachment, Question, Reply
from orchestrator.rules.values import ModelType, Scope

router = APIRouter()

#: Media types of files that platforms take, and their most bytes.
IMAGES = ("image/jpeg", "image/png", "image/webp", "image/gif")
SOUNDS = (
    "audio/mpeg",
    "audio/mp3",
    "audio/mp4",
    "audio/m4a",
    "audio/x-m4a",
    "audio/wav",
    "audio/x-wav",
    "audio/webm",
    "video/mp4",
)
MOST_IMAGE, MOST_SOUND = 20 * 1024 * 1024, 25 * 1024 * 1024
#: Each option with its bounds.
OPTIONS: Mapping[str, tuple[str, str]] = {
    "temperature": ("0", "2"),
    "top_p": ("0", "1"),
    "top_k": ("1", "1000"),
    "repetition_penalty": ("0", "2"),
}
_MOST_TEXT = 8_000


@router.get("/sessions/{session_id}/endpoint", dependencies=READ)
async def endpoint(request: Request, session_id: SessionId) -> Response:
    """Show the endpoint, code that calls it, and the form to try it."""
    return await _shown(request, session_id)


@router.post("/sessions/{session_id}/reveal", dependencies=READ)
async def reveal(request: Request, session_id: SessionId) -> Response:
    """Show the endpoint's secret to a token with the scope `reveal`."""
    await form_of(request)
    caller_of(request).needs(Scope.REVEAL)
    found = await get(request, f"/sessions/{session_id}/endpoint", {"reveal": "true"})
    return await _shown(request, session_id, secret=found["secret"])


@router.post("/sessions/{session_id}/try", dependencies=OPERATE)
async def try_it(request: Request, session_id: SessionId) -> Response:
    """Ask the model once. The server sends the question, and counts it as an interaction."""
    form = await form_of(request)
    await needs_sessions(request, session_id)
    process, caller = process_of(request), caller_of(request)
    kind = await process.read(lambda tx: type_of(tx, session_id))
    question = _question(form, kind)
    reply = await process.check(
        lambda: try_out(
            process.services,
            session_id,
            question,
            task_id=caller.task_id(f"try-{form.key}"),
            author=caller.token.name,
        )
    )
    return await _shown(request, session_id, asked=question, reply=reply, values=form.values)


async def _shown(
    request: Request,
    session_id: str,
    *,
    secret: str | None = None,
    asked: Question | None = None,
    reply: Reply | None = None,
    values: Mapping[str, str] | None = None,
) -> Response:
    found = await get(request, f"/sessions/{session_id}/endpoint")
    one = await get(request, f"/sessions/{session_id}")
    kind = await process_of(request).read(lambda tx: type_of(tx, session_id))
    sample = Sample(**found, speech=kind is ModelType.ASR)
    return await page(
        request,
        "endpoint.html",
        one=one,
        endpoint=found,
        kind=kind.value,
        samples={language: write(sample) for language, write in LANGUAGES.items()},
        secret=secret,
        asked=asked,
        reply=reply,
        values=values or {},
        options=OPTIONS,
        accepts=SOUNDS if kind is ModelType.ASR else IMAGES,
    )


def _question(form: Form, kind: ModelType) -> Question:
    text, speech = _lines(form, "text"), kind is ModelType.ASR
    attachment = None if kind is ModelType.LLM else _attachment(form, speech=speech)
    if speech and attachment is None:
        raise invalid(fault("file", "choose an audio file"))
    if not speech and not text:
        raise invalid(fault("text", "say something"))
    if len(text) > _MOST_TEXT:
        raise invalid(fault("text", f"has more than {_MOST_TEXT} characters"))
    system = _lines(form, "system")[:_MOST_TEXT]
    return Question(text=text, system=system, options=_options(form), attachment=attachment, speech=speech)


def _lines(form: Form, name: str) -> str:
    """Return a text as it was typed: browsers send each line break as two characters, and count one."""
    return (form.text(name) or "").replace("\r\n", "\n")


def _options(form: Form) -> dict[str, float | int]:
    found: dict[str, float | int] = {}
    for name, (least, most) in OPTIONS.items():
        text = form.text(name)
        if text is not None:
            found[name] = _number(name, text, Decimal(least), Decimal(most))
    return found


def _number(name: str, text: str, least: Decimal, most: Decimal) -> float | int:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = most + 1
    if not (value.is_finite() and least <= value <= most):  # "nan" is a Decimal that compares with none
        raise invalid(fault(name, f"must be a number from {least} to {most}"))
    if name != "top_k":
        return float(value)
    if value != int(value):
        raise invalid(fault(name, "must be a whole number", "int"))
    return int(value)


def _attachment(form: Form, *, speech: bool) -> Attachment | None:
    """Return the file that was chosen. Raises Problem for one that platforms do not take."""
    sent = form.files.get("file")
    if sent is None:
        return None
    kinds, most = (SOUNDS, MOST_SOUND) if speech else (IMAGES, MOST_IMAGE)
    if sent.kind not in kinds:
        raise invalid(fault("file", f"must be one of {', '.join(kinds)}"))
    if not sent.content:
        raise invalid(fault("file", "is empty"))
    if len(sent.content) > most:
        raise invalid(fault("file", f"has more than {most // 1024 // 1024} MiB"))
    name = re.sub(r"[^A-Za-z0-9._-]", "-", sent.name)[-100:]
    return Attachment(name=name, kind=sent.kind, content=sent.content)
