"""Paths where a server answers while it works on another request, so that an unanswered ping is not taken for a death.

A path is relative to the endpoint's URL: `models` is `/v1/models`, `../health` is `/health` beside `/v1`."""

from collections.abc import Sequence
from urllib.parse import urljoin

from orchestrator.providers.http.client import Call, HttpClient, NoAnswer
from orchestrator.providers.port.answers import Response
from orchestrator.providers.port.driver import Endpoint, Target
from orchestrator.providers.port.errors import NotSent

#: Of servers that run one model: vLLM, SGLang, TGI, llama.cpp, NIM and TensorRT-LLM answer both while they work,
#: Ollama, LM Studio and LocalAI the first. The list of models goes first: LiteLLM's `/health` sends paid requests.
SERVER_LOOKS = ("models", "../health")
#: A path that stays at the endpoint's host.
LOOK_PATH = r"^(?:[a-zA-Z0-9_.~-]+/)*[a-zA-Z0-9_.~-]+$"
#: Of one look, at most; never more than of the ping.
LOOK_SECONDS = 3.0


async def look(http: HttpClient, endpoint: Endpoint, target: Target, paths: Sequence[str]) -> str | None:
    """Return what answers there; None if nothing does. Stop at the first answer."""
    for path in paths:
        answer = await _ask(http, endpoint, target, path)
        if answer is not None and answer.status == 200 and not answer.is_html:
            return f"{path.removeprefix('../')} answers"
    return None


async def _ask(http: HttpClient, endpoint: Endpoint, target: Target, path: str) -> Response | None:
    call = Call(
        method="GET",
        url=urljoin(endpoint.url.rstrip("/") + "/", path),
        timeout_seconds=min(LOOK_SECONDS, target.timeout_seconds),
        auth=endpoint.auth,
        secret=target.secret,
    )
    try:
        return await http.ask(call)
    except (NotSent, NoAnswer):
        return None
