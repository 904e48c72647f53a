"""Calls as data: every fault of the configuration is named at start, and nothing leaks into a URL."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.providers import registry
from orchestrator.providers.drivers.fpt.templates import ListTable, OpenTable
from orchestrator.providers.port.driver import Secret
from orchestrator.providers.shared.paths import read_path, read_text, read_time
from orchestrator.settings import ConfigurationError, load_configuration
from orchestrator.wiring import known_drivers
from tests.drivers.fpt import TEMPLATE

EXAMPLE = Path(__file__).parents[2] / "deploy" / "orchestrator.toml"
SECRET = Secret(ref="env:KEY", value="sk-planted")


def changed(name: str, **changes: Any) -> dict[str, Any]:
    return {**TEMPLATE, name: {**TEMPLATE[name], **changes}}


def without(name: str, *keys: str, **changes: Any) -> dict[str, Any]:
    """Return the template, with keys taken out of one table."""
    table = {key: value for key, value in TEMPLATE[name].items() if key not in keys}
    return {**TEMPLATE, name: {**table, **changes}}


BY_HANDLE = changed("status", url="/sessions/{handle}")
NAMELESS = {"model": "{model}"}

#: Configurations that would lose sessions, or never end one, each with a word of the remedy.
DANGERS = [
    (
        {**without("open", "endpoint_url"), "status": None},
        "open.endpoint_url",
        "endpoint_url of the provider",
    ),
    (without("status", "endpoint_url"), "open.endpoint_url", "give status.endpoint_url"),
    (without("status", "handle"), "open.handle", "give status.handle"),
    (without("list", "live_words"), "list.live_words", "is missing"),
    (without("list", "status"), "list.live_words", "without `status`"),
    (changed("list", url="/sessions?x={name}"), "list.url", "unknown placeholder {name}"),
    (
        changed("list", live_words=["Initializing", "Running", "STOPPED"]),
        "status.words",
        "stopped means ended here",
    ),
    (changed("list", live_words=["running"]), "status.words", "initializing means live here"),
    (changed("status", words={"Up": "running"}), "status.words", "no word means ended"),
    (changed("status", words={"Down": "gone"}), "status.words", "no word means live"),
    (changed("status", words={"up": "running", "UP": "gone"}), "status.words", "UP has two meanings"),
    (changed("status", url="/sessions"), "status.url", "names no session"),
    (changed("close", url="/sessions"), "close.url", "names no session"),
    (changed("close", url="/sessions/{placement_id}"), "close.url", "which the open does not send"),
    (changed("status", url="/sessions/{placement_id}"), "open.body", "does not send {placement_id}"),
    (changed("open", body=NAMELESS), "open.body", "does not send {name}"),
    ({**changed("open", body=NAMELESS), "names_create": False}, "open.body", "status asks by it"),
    ({**TEMPLATE, "status": None, "list": None}, "open.url", "lost_opens_need_an_operator"),
    ({**BY_HANDLE, "names_create": False}, "open.url", "idempotent_open"),
    ({**BY_HANDLE, "list": without("list", "name")["list"]}, "open.url", "list.name"),
    (changed("open", success_statuses=[201, 9999]), "open.success_statuses", "200 to 299"),
    (changed("close", success_statuses=[]), "close.success_statuses", "200 to 299"),
    (changed("open", headers={"x": "a\nb"}), "open.headers", "the header x holds a line break"),
    (changed("open", headers={"x:": "a"}), "open.headers", "not a header's name"),
    (changed("open", body={"name": "{name}", "x": float("nan")}), "open.body", "cannot be sent as JSON"),
    (changed("open", url="http://host:99999999/x"), "open.url", "no valid host and port"),
]


@pytest.mark.parametrize(("options", "where", "said"), DANGERS)
def test_what_would_lose_sessions_is_refused_at_start(options: dict[str, Any], where: str, said: str) -> None:
    faults = registry.option_faults("fpt", options)
    assert [fault.path for fault in faults] == [where], faults
    assert said in faults[0].message


@pytest.mark.parametrize(
    "options",
    [
        TEMPLATE,
        {**TEMPLATE, "status": None, "endpoint_url": "https://one.example/v1"},
        {**TEMPLATE, "status": None, "list": None, "idempotent_open": True},
        {**TEMPLATE, "status": None, "list": None, "lost_opens_need_an_operator": True},
        {**changed("close", url="/session"), "exclusive_credentials": True},
        {
            **changed("status", words={"Up": "running"}),
            "errors": [{"statuses": [404], "means": "gone"}],
            "list": None,
        },
        changed("list", live_words=["alive"]),
    ],
)
def test_what_is_only_unusual_is_accepted(options: dict[str, Any]) -> None:
    assert registry.option_faults("fpt", options) == []


def test_every_fault_is_named_at_once() -> None:
    options = {
        **TEMPLATE,
        "open": changed("open", body=NAMELESS, headers={"x": "\n"}, success_statuses=[])["open"],
        "status": changed("status", url="/sessions", words={"Up": "running"})["status"],
        "list": without("list", "live_words")["list"],
        "close": changed("close", url="/sessions", method="STOP")["close"],
    }
    assert {fault.path for fault in registry.option_faults("fpt", options)} == {
        "open.headers",
        "open.success_statuses",
        "status.url",
        "status.words",
        "list.live_words",
        "close.method",
    }


@pytest.mark.parametrize(
    ("options", "where", "said"),
    [
        ({}, "mode", "is missing"),
        ({"mode": "template"}, "open", "is missing"),
        ({**TEMPLATE, "mode": "attach"}, "open", "no meaning"),
        ({**TEMPLATE, "close": None}, "close", "is missing"),
        (changed("open", body={"a": ["{modle}"]}), "open.body", "unknown placeholder {modle} in a.0"),
        (changed("open", body={"token": "{secret}"}), "open.body", "unknown placeholder {secret}"),
        (changed("open", url="/s?key={secret}"), "open.url", "unknown placeholder {secret}"),
        (changed("open", url="https://{name}.example/s"), "open.url", "without braces in the host"),
        (changed("open", headers={"x": "{handle}"}), "open.headers", "unknown placeholder {handle}"),
        (changed("close", url="/{nodes}"), "close.url", "unknown placeholder {nodes}"),
        (changed("open", handle=None), "open.handle", "must be a text"),
        (changed("open", handle="a..b"), "open.handle", "not a path"),
        (changed("open", method="FETCH"), "open.method", "must be "),
        (changed("open", hadle="x"), "open.hadle", "unknown key"),
        (changed("status", words={"Running": "runnning"}), "status.words.Running", "must be "),
        (
            {**TEMPLATE, "errors": [{"statuses": [500], "pattern": "(", "means": "gone"}]},
            "errors[0].pattern",
            "not a reg",
        ),
        ({**TEMPLATE, "endpoint_secret_ref": "sk-planted"}, "endpoint_secret_ref", "must be env:NAME"),
    ],
)
def test_a_fault_is_named_by_its_path(options: dict[str, Any], where: str, said: str) -> None:
    faults = {fault.path: fault.message for fault in registry.option_faults("fpt", options)}
    assert where in faults, faults
    assert said in faults[where]
    assert "sk-planted" not in str(faults)


def test_a_relative_url_needs_a_base(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="relative"):
        registry.card("fpt", TEMPLATE)
    file = tmp_path / "orchestrator.toml"
    template = EXAMPLE.read_text().partition("[providers.studio]")[2].partition("[providers.node]")[0]
    file.write_text("[providers.studio]" + template.replace("base_url", "# base_url"))
    with pytest.raises(ConfigurationError) as refused:
        load_configuration(file, known_drivers=known_drivers(), require_secrets=False)
    assert [fault.path for fault in refused.value.faults] == [
        f"providers.studio.{call}" for call in ("status", "open", "close")
    ]


def test_the_card_tells_what_the_template_offers() -> None:
    whole = registry.card("fpt", {"base_url": "http://x", **TEMPLATE})
    assert (
        whole.status.can_list,
        whole.lifecycle.closes_by_id,
        whole.identity.names_create,
        whole.lifecycle.attaches,
    ) == (
        True,
        True,
        True,
        False,
    )
    url = {"url": "/stop/{name}"}
    bare = {**TEMPLATE, "list": None, "names_create": False, "close": {**TEMPLATE["close"], **url}}
    little = registry.card("fpt", {"base_url": "http://x", "idempotent_open": True, "max_nodes": 2, **bare})
    assert (
        little.status.can_list,
        little.lifecycle.closes_by_id,
        little.lifecycle.repeats_open,
        little.lifecycle.max_nodes,
    ) == (
        False,
        False,
        True,
        2,
    )
    assert registry.card("fpt", {"mode": "attach"}).lifecycle.attaches


VALUES = {"placement_id": "p", "name": "a/../b?c", "model": "m", "nodes": 2, "duration_seconds": 60}


def test_values_keep_their_type_and_their_place() -> None:
    table = OpenTable.model_validate(
        {
            "method": "POST",
            "url": "/s/{name}",
            "headers": {"X-Token": "{secret}"},
            "body": {"n": "{nodes}", "text": "{nodes} of {model}", "deep": [{"x": "{}"}, 1, None]},
            "handle": "id",
        }
    )
    call = table.call("https://api.example/v1/", VALUES, SECRET, 5)
    assert call.url == "https://api.example/v1/s/a%2F..%2Fb%3Fc"
    assert call.json == {"n": 2, "text": "2 of m", "deep": [{"x": "{}"}, 1, None]}
    assert call.headers == {"X-Token": "sk-planted"}


@pytest.mark.parametrize("handle", ["", None, {"id": "x"}, True])
def test_a_list_with_an_entry_that_nobody_could_close_is_no_list(handle: Any) -> None:
    table = ListTable.model_validate({"method": "GET", "url": "/s", "items": "data", "handle": "id"})
    assert table.live({"data": [{"id": "a"}, {"id": 7}]}) == [{"id": "a"}, {"id": 7}]
    assert table.live({"data": [{"id": "a"}, {"id": handle}]}) is None


BODY = {"a": {"b": [{"c": "d"}, 7]}, "yes": True, "none": None, "empty": ""}


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("a.b.0.c", "d", "d"),
        ("a.b.1", 7, "7"),
        ("a.b.2", None, None),
        ("a.b.x", None, None),
        ("a.b.0.c.e", None, None),
        ("yes", True, None),
        ("none", None, None),
        ("empty", "", None),
        (None, None, None),
    ],
)
def test_a_path_leads_to_a_value_or_nowhere(path: str | None, value: Any, text: str | None) -> None:
    assert (read_path(BODY, path), read_text(BODY, path)) == (value, text)


THEN = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (THEN.timestamp(), THEN),
        (int(THEN.timestamp() * 1000), THEN),
        (str(int(THEN.timestamp())), THEN),
        ("2026-11-21T12:00:00Z", THEN),
        ("2026-11-21T14:00:00+02:00", THEN),
        ("2026-11-21T12:00:00", THEN),
        ("soon", None),
        (None, None),
        ([], None),
        (1e300, None),
    ],
)
def test_times_come_in_many_shapes(value: Any, expected: datetime | None) -> None:
    assert read_time({"at": value}, "at") == expected
