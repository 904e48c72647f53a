"""docs/webhooks.md is true: its receivers run, check signatures and take each event once; its configuration loads."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from standardwebhooks import Webhook as Signer

from orchestrator.flows.operations.deliver_webhooks import deliver_webhooks
from orchestrator.flows.operations.webhooks import put_webhook
from orchestrator.settings.configuration import WebhookConfiguration
from orchestrator.settings.reading import WebhookTable, load_configuration
from tests.receiver import SECRET
from tests.waiting import eventually, free_port
from tests.world import Clock, World

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text()
EXAMPLE = Path(__file__).parents[2] / "deploy" / "orchestrator.toml"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = '{"id":"e-1","type":"orchestrator.session.running","subject":"s-1"}'
LANGUAGES = {"python": ("receiver.py", sys.executable), "js": ("receiver.mjs", "node")}


@pytest.fixture
def world(sqlite_url: str) -> Iterator[World]:
    """Return a world of today: the page's receivers refuse old signatures."""
    with World(sqlite_url, clock=Clock(datetime.now(UTC))) as world:
        yield world


def examples(language: str) -> list[str]:
    """Return the page's blocks of code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@contextmanager
def page_receiver(language: str, directory: Path) -> Iterator[tuple[str, Path]]:
    """Run the page's receiver in this language; yield its URL and the file of what it prints."""
    name, program = LANGUAGES[language]
    assert shutil.which(program), f"these tests need {program}: .ci/install installs it"
    [code] = examples(language)
    (directory / name).write_text(code)
    port = free_port()
    env = {"PATH": os.environ["PATH"], "PORT": str(port), "WEBHOOK_SECRET": SECRET}
    printed = directory / "printed"
    with printed.open("w") as output:
        process = subprocess.Popen([program, name], cwd=directory, env=env, stdout=output, stderr=output)
    try:
        eventually(lambda: listens(port), "the receiver listens")
        yield f"http://127.0.0.1:{port}/hooks", printed
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    """Return whether something listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def headers(*, secret: str = SECRET, age: timedelta = timedelta()) -> dict[str, str]:
    """Return the headers of `BODY`, signed this long ago."""
    signed_at = datetime.now(UTC) - age
    return {
        "webhook-id": "e-1",
        "webhook-timestamp": str(int(signed_at.timestamp())),
        "webhook-signature": Signer(secret).sign("e-1", signed_at, BODY),
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "secrets", [("HOOK",), ("NEW", "HOOK")], ids=["one secret", "while the secret changes"]
)
def test_the_receivers_of_the_page_take_a_session_s_life(
    world: World, tmp_path: Path, language: str, secrets: tuple[str, ...]
) -> None:
    world.secrets |= {"HOOK": SECRET, "NEW": OTHER_SECRET}
    with page_receiver(language, tmp_path) as (url, printed):
        refs = tuple(f"env:{one}" for one in secrets)
        given = WebhookConfiguration(url=url, secret_refs=refs, event_types=("orchestrator.session.*",))
        put_webhook(world.services.database, "shop", given, active=True)
        session_id = world.run_session()
        world.done("session.close", session_id=session_id)
        world.settle()
        while deliver_webhooks(world.services, world.webhooks, waits=True).claimed:
            pass
        life = ("created", "starting", "running", "stopping", "stopped")
        assert printed.read_text().splitlines() == [
            f"orchestrator.session.{one} {session_id}" for one in life
        ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_receivers_of_the_page_refuse_what_is_not_ours_and_take_an_event_once(
    tmp_path: Path, language: str
) -> None:
    genuine = headers()
    forged = [
        {},
        headers(secret=OTHER_SECRET),
        headers(age=timedelta(minutes=6)),
        genuine | {"webhook-id": "e-2"},
        genuine | {"webhook-signature": "v1,"},
        genuine | {"webhook-signature": "nothing"},
        genuine | {"webhook-timestamp": "nothing"},
    ]
    with (
        page_receiver(language, tmp_path) as (url, printed),
        httpx.Client(trust_env=False, timeout=60) as client,
    ):
        refused = [client.post(url, content=BODY, headers=one).status_code for one in forged]
        refused.append(client.post(url, content=BODY.replace("s-1", "s-2"), headers=genuine).status_code)
        assert refused == [400] * 8
        assert [client.post(url, content=BODY, headers=genuine).status_code for _ in range(2)] == [204, 204]
        assert printed.read_text() == "orchestrator.session.running s-1\n"


def test_the_configuration_of_the_page_loads_and_its_table_has_every_key(tmp_path: Path) -> None:
    [block] = examples("toml")
    file = tmp_path / "orchestrator.toml"
    file.write_text(block)
    loaded = load_configuration(file, known_drivers={}, require_secrets=False).webhooks["shop"]
    assert (loaded.secret_refs, loaded.account_ids) == (("env:SHOP_WEBHOOK",), ("acme",))
    assert set(re.findall(r"^\| `(\w+)` \| `--", PAGE, re.MULTILINE)) == set(WebhookTable.model_fields)


def test_the_commented_webhook_of_the_example_configuration_loads(tmp_path: Path) -> None:
    block = re.search(r"^# \[webhooks\.shop\].*\n(?:^#.*\n?)*", EXAMPLE.read_text(), re.MULTILINE)
    assert block is not None
    file = tmp_path / "orchestrator.toml"
    file.write_text(re.sub(r"^# ", "", block[0], flags=re.MULTILINE))
    loaded = load_configuration(file, known_drivers={}, require_secrets=False).webhooks["shop"]
    assert set(WebhookTable.model_fields) == set(re.findall(r"^# (\w+) = ", block[0], re.MULTILINE))
    assert loaded.url.startswith("https://")
