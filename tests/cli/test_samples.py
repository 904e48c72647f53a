"""Sample code is code: it compiles, holds no secret, and works."""

import os
import shlex
import subprocess
import sys

import pytest

from orchestrator.flows.reports import samples
from orchestrator.flows.reports.samples import LANGUAGES, Sample
from tests.cli.conftest import Cli
from tests.world import World


def sample(auth: str = "bearer", secret_ref: str | None = "env:KEY", *, speech: bool = False) -> Sample:
    return Sample(url="http://h/v1", model='it\'s "x"', auth=auth, secret_ref=secret_ref, speech=speech)


@pytest.mark.parametrize("auth", ["bearer", "x-api-key", "both", "basic", "none"])
@pytest.mark.parametrize("secret_ref", ["env:KEY", "file:/run/secrets/key", None])
@pytest.mark.parametrize("speech", [False, True])
def test_python_compiles_and_a_shell_can_split_curl(auth: str, secret_ref: str | None, speech: bool) -> None:
    wanted = sample(auth, secret_ref, speech=speech)
    compile(samples.python(wanted), "sample", "exec")
    words = shlex.split(samples.curl(wanted))
    assert words[1] == "http://h/v1" + ("/audio/transcriptions" if speech else "/chat/completions")
    name = {"env:KEY": "KEY", None: None}.get(secret_ref, "API_KEY")
    for write in LANGUAGES.values():
        wants_it = name is not None and auth != "none"
        assert not wants_it or str(name) in write(wanted)


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        ("bearer", ["-H", "Authorization: Bearer ${KEY}"]),
        ("x-api-key", ["-H", "X-Api-Key: ${KEY}"]),
        ("both", ["-H", "Authorization: Bearer ${KEY}", "-H", "X-Api-Key: ${KEY}"]),
        ("basic", ["-u", "${KEY}"]),
        ("none", []),
    ],
)
def test_the_secret_goes_where_the_endpoint_wants_it(auth: str, words: list[str]) -> None:
    split = [word for word in shlex.split(samples.curl(sample(auth))) if word != "\n"]
    assert split[2 : 2 + len(words)] == words


def test_samples_carry_what_platforms_document() -> None:
    for write in LANGUAGES.values():
        code = write(sample())
        assert all(word in code for word in ('"system"', '"user"', "temperature"))
    assert "temperature" not in samples.curl(sample(speech=True))


def test_the_python_sample_talks_to_the_endpoint(cli: Cli, world: World) -> None:
    session_id = world.run_session("moral")
    code = cli("session", "endpoint", session_id, "--lang", "python").out
    environment = os.environ | {"MORPH_1": "sk-morph-1"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
