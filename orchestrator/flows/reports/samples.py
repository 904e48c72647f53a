"""Sample code that calls a session's endpoint. It reads the secret from a variable, and never contains it."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

#: The variable where the reference does not name one.
_VARIABLE = "API_KEY"
_MESSAGES = (
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Hello!"},
)
#: The one value that every model accepts: reasoning models refuse others.
_TEMPERATURE = 1
_BASE64 = "base64.b64encode(key.encode()).decode()"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The values in sample code."""

    url: str
    model: str
    auth: str
    secret_ref: str | None
    speech: bool
    """An ASR model: it transcribes, and does not chat."""

    @property
    def variable(self) -> str:
        """The variable that holds the secret."""
        kind, _, name = (self.secret_ref or "").partition(":")
        return name if kind == "env" else _VARIABLE

    @property
    def path(self) -> str:
        """The path of the call, at the endpoint's URL."""
        operation = "/audio/transcriptions" if self.speech else "/chat/completions"
        return self.url.rstrip("/") + operation

    @property
    def body(self) -> dict[str, Any]:
        """Return the request that platforms document: a system and a user message, and a temperature."""
        return {"model": self.model, "messages": list(_MESSAGES), "temperature": _TEMPERATURE}

    @property
    def open(self) -> bool:
        """Whether the endpoint needs no secret."""
        return self.secret_ref is None or self.auth == "none"


def curl(sample: Sample) -> str:
    """Return a command for a shell."""
    lines = [f"curl {shlex.quote(sample.path)}", *_curl_secret(sample)]
    if sample.speech:
        lines += [f"-F {shlex.quote('model=' + sample.model)}", "-F file=@speech.wav"]
    else:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(json.dumps(sample.body))}"]
    return " \\\n  ".join(lines)


def python(sample: Sample) -> str:
    """Return code for the package `openai`."""
    client = [
        f"base_url={json.dumps(sample.url)}",
        f"api_key={'key' if not sample.open else json.dumps('-')}",
    ]
    if sample.auth in {"x-api-key", "both", "basic"} and not sample.open:
        header = {"basic": f'"Authorization": "Basic " + {_BASE64}'}.get(sample.auth, '"X-Api-Key": key')
        client.append(f"default_headers={{{header}}}")
    imports = ["import base64"] if sample.auth == "basic" else []
    key = [] if sample.open else [f"key = os.environ[{json.dumps(sample.variable)}]"]
    return "\n".join(
        [
            *imports,
            *([] if sample.open else ["import os"]),
            *(["from pathlib import Path"] if sample.speech else []),
            "",
            "from openai import OpenAI",
            "",
            *key,
            f"client = OpenAI({', '.join(client)})",
            *_python_call(sample),
        ]
    ).lstrip()


def javascript(sample: Sample) -> str:
    """Return code for Node and browsers, with `fetch`."""
    headers = [f"{json.dumps(name)}: {value}" for name, value in _javascript_secret(sample)]
    if sample.speech:
        before = [
            'import { readFile } from "node:fs/promises";',
            "const body = new FormData();",
            f'body.append("model", {json.dumps(sample.model)});',
            'body.append("file", new Blob([await readFile("speech.wav")]), "speech.wav");',
        ]
        shown = "text"
    else:
        headers.append('"Content-Type": "application/json"')
        before = [f"const body = JSON.stringify({json.dumps(sample.body)});"]
        shown = "choices[0].message.content"
    call = (
        f"fetch({json.dumps(sample.path)}, {{ method: 'POST', headers: {{ {', '.join(headers)} }}, body }})"
    )
    return "\n".join(
        [*before, f"const response = await {call};", f"console.log((await response.json()).{shown});"]
    )


LANGUAGES: Mapping[str, Callable[[Sample], str]] = MappingProxyType(
    {"curl": curl, "python": python, "javascript": javascript}
)


def _curl_secret(sample: Sample) -> list[str]:
    if sample.open:
        return []
    variable = f"${{{sample.variable}}}"
    bearer, key = f'-H "Authorization: Bearer {variable}"', f'-H "X-Api-Key: {variable}"'
    ways = {"x-api-key": [key], "both": [bearer, key], "basic": [f'-u "{variable}"']}
    return ways.get(sample.auth, [bearer])


def _javascript_secret(sample: Sample) -> list[tuple[str, str]]:
    if sample.open:
        return []
    variable = f"process.env.{sample.variable}"
    bearer = ("Authorization", f"`Bearer ${{{variable}}}`")
    key, basic = ("X-Api-Key", variable), ("Authorization", f"`Basic ${{btoa({variable})}}`")
    return {"x-api-key": [key], "both": [bearer, key], "basic": [basic]}.get(sample.auth, [bearer])


def _python_call(sample: Sample) -> list[str]:
    model = f"model={json.dumps(sample.model)}"
    if sample.speech:
        call = f'client.audio.transcriptions.create({model}, file=Path("speech.wav"))'
        return [f"print({call}.text)"]
    messages = json.dumps(sample.body["messages"])
    return [
        "answer = client.chat.completions.create(",
        f"    {model},",
        f"    messages={messages},",
        f"    temperature={_TEMPERATURE},",
        ")",
        "print(answer.choices[0].message.content)",
    ]
