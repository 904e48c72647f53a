"""Jobs as other services send them: accepted ones, refused ones, and the text of the refusal."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.client import (
    JOBS,
    AttachRequest,
    CreateSession,
    Interactions,
    PutModel,
    Request,
    StopRequest,
    digest,
    parse,
    schema,
)
from orchestrator.client.fields import METADATA_BYTES
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.values import Model, ModelSource, ModelType, OnQuota

CREATE = {"account_id": "acme", "model_id": "llama-3.1-8b"}
MODEL = {
    "id": "llama",
    "provider": "a",
    "provider_model_id": "0x62",
    "type": "LLM",
    "size": "8B",
    "learning_stage": "Instruction-tuned",
    "price_per_node_hour": "1.20",
    "currency": "USD",
}
ATTACH = {"endpoint_url": "https://api.gptcloud.com/aiam/v1", "secret_ref": "env:FPT_TOKEN_1", "model": "x"}
SESSION = {"session_id": "s-1"}

SMALLEST: dict[str, dict[str, Any]] = {
    "session.create": CREATE,
    "session.start": SESSION,
    "session.close": SESSION,
    "session.extend": {**SESSION, "max_interactions": 5},
    "session.ping": SESSION,
    "session.delete": SESSION,
    "session.record_interactions": {"batch": [{**SESSION, "count": 1}]},
    "account.put": {"account_id": "acme", "plan": "payg", "currency": "USD"},
    "account.credit": {"account_id": "acme", "amount": "25.00", "currency": "USD", "key": "k"},
    "account.budget": {"account_id": "acme", "period": "month", "amount": "250.00", "currency": "USD"},
    "account.debit": {
        "account_id": "acme",
        "amount": "25.00",
        "currency": "USD",
        "key": "k",
        "reason": "a credit was mistyped",
        "author": "ops",
    },
    "model.put": MODEL,
    "session.get": SESSION,
    "session.list": {},
    "account.get": {"account_id": "acme"},
}


def job(name: str, changes: dict[str, Any]) -> Request:
    return parse(f"orchestrator.{name}", SMALLEST[name] | changes)


def refusal(name: str, changes: dict[str, Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        job(name, changes)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    return caught.value


def tried(name: str, kwargs: dict[str, Any]) -> tuple[Request | None, Refusal | None]:
    try:
        return parse(name, kwargs), None
    except Refusal as refused:
        return None, refused


def create(**changes: Any) -> CreateSession:
    request = job("session.create", changes)
    assert isinstance(request, CreateSession)
    return request


def model(**changes: Any) -> PutModel:
    request = job("model.put", changes)
    assert isinstance(request, PutModel)
    return request


@pytest.mark.parametrize("name", SMALLEST)
def test_each_job_has_a_smallest_form(name: str) -> None:
    assert isinstance(job(name, {}), JOBS[f"orchestrator.{name}"])


def test_every_job_is_in_the_table_of_smallest_forms() -> None:
    assert {f"orchestrator.{name}" for name in SMALLEST} == set(JOBS)


def test_a_create_has_the_defaults_of_the_contract() -> None:
    request = create()
    assert (request.nodes, request.start, request.on_quota, request.failover) == (
        1,
        True,
        OnQuota.REJECT,
        False,
    )
    assert (request.name, request.session_id, request.description, request.attach) == (None, None, None, None)
    assert request.stop.model_dump(exclude_none=True) == request.metadata == {}


def test_a_create_with_everything() -> None:
    request = create(
        name="int.session_1",
        session_id="s:1",
        description="line one\nline two",
        nodes=2,
        stop={"max_duration_seconds": 60, "max_interactions": 5, "idle_seconds": 30, "max_cost": "1.50"},
        start=False,
        on_quota="queue",
        failover=True,
        provider_options={"direct_payment": True, "failover": False, "bid_id": "0xab"},
        provider="morpheus",
        credential="env:MORPHEUS_KEY_1",
        attach={**ATTACH, "ends_at": "2026-01-01T01:00:00+01:00"},
        metadata={"team": ["a", {"b": 1.5}], "none": None},
    )
    assert request.stop.max_cost == Decimal("1.5")
    assert request.on_quota is OnQuota.QUEUE
    assert request.attach is not None
    assert request.attach.ends_at == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "changes", "loc", "kind"),
    [
        pytest.param(
            "session.create", {"account_id": "a b"}, "account_id", "identifier", id="a blank in an id"
        ),
        pytest.param(
            "session.create", {"account_id": "a\n"}, "account_id", "identifier", id="a line break behind"
        ),
        pytest.param(
            "session.create", {"account_id": "é"}, "account_id", "identifier", id="a letter beyond ASCII"
        ),
        pytest.param("session.create", {"session_id": "x" * 65}, "session_id", "identifier", id="a long id"),
        pytest.param("session.create", {"session_id": ""}, "session_id", "identifier", id="an empty id"),
        pytest.param("session.create", {"name": ""}, "name", "string_too_short", id="an empty name"),
        pytest.param("session.create", {"name": "x" * 101}, "name", "string_too_long", id="a long name"),
        pytest.param("session.create", {"name": " x"}, "name", "one_line", id="a name after a blank"),
        pytest.param("session.create", {"name": "x\ty"}, "name", "one_line", id="a name with a tab"),
        pytest.param(
            "session.create", {"description": "x" * 201}, "description", "string_too_long", id="a novel"
        ),
        pytest.param("session.create", {"nodes": 0}, "nodes", "greater_than_equal", id="no node"),
        pytest.param(
            "session.create", {"nodes": 10_001}, "nodes", "less_than_equal", id="absurdly many nodes"
        ),
        pytest.param("session.create", {"nodes": "2"}, "nodes", "int_type", id="a number as text"),
        pytest.param("session.create", {"nodes": True}, "nodes", "int_type", id="true is no number"),
        pytest.param(
            "session.create", {"nodes": 2.0}, "nodes", "int_type", id="a whole fraction is no number"
        ),
        pytest.param(
            "session.create", {"nodes": None}, "nodes", "int_type", id="null where there is a default"
        ),
        pytest.param("session.create", {"start": "true"}, "start", "bool_type", id="a truth as text"),
        pytest.param("session.create", {"start": 1}, "start", "bool_type", id="one is no truth"),
        pytest.param("session.create", {"on_quota": "wait"}, "on_quota", "enum", id="another way to wait"),
        pytest.param("session.create", {"stop": []}, "stop", "model_type", id="a list of stops"),
        pytest.param(
            "session.create", {"stop": {"max_cost": 1.5}}, "stop.max_cost", "money_type", id="float money"
        ),
        pytest.param(
            "session.create", {"stop": {"max_cost": True}}, "stop.max_cost", "money_type", id="true money"
        ),
        pytest.param(
            "session.create", {"stop": {"max_cost": "1e3"}}, "stop.max_cost", "money_format", id="exponent"
        ),
        pytest.param(
            "session.create", {"stop": {"max_cost": "-1"}}, "stop.max_cost", "money_format", id="debt"
        ),
        pytest.param(
            "session.create", {"stop": {"max_cost": "0.00"}}, "stop.max_cost", "money_format", id="nothing"
        ),
        pytest.param(
            "session.create", {"stop": {"max_cost": "NaN"}}, "stop.max_cost", "money_format", id="NaN money"
        ),
        pytest.param(
            "session.create",
            {"stop": {"max_cost": "\u0661"}},
            "stop.max_cost",
            "money_format",
            id="other digits",
        ),
        pytest.param(
            "session.create",
            {"stop": {"max_cost": "0.0000001"}},
            "stop.max_cost",
            "money_format",
            id="7 places",
        ),
        pytest.param(
            "session.create",
            {"stop": {"max_cost": 10**12}},
            "stop.max_cost",
            "money_format",
            id="absurd money",
        ),
        pytest.param(
            "session.create",
            {"stop": {"max_duration_seconds": 315_360_001}},
            "stop.max_duration_seconds",
            "less_than_equal",
            id="more than ten years",
        ),
        pytest.param(
            "session.create",
            {"stop": {"max_interaction": 1}},
            "stop.max_interaction",
            "extra_forbidden",
            id="misspelt",
        ),
        pytest.param(
            "session.create", {"sk-hunter2": 1}, "?", "extra_forbidden", id="a key that may be a secret"
        ),
        pytest.param(
            "session.create",
            {"provider_options": {"x": 1}},
            "provider_options.x",
            "extra_forbidden",
            id="an option",
        ),
        pytest.param(
            "session.create", {"credential": "sk-hunter2"}, "credential", "reference", id="a secret"
        ),
        pytest.param(
            "session.create",
            {"attach": {**ATTACH, "secret_ref": "hunter2"}},
            "attach.secret_ref",
            "reference",
            id="ref",
        ),
        *(
            pytest.param(
                "session.create",
                {"attach": {**ATTACH, "endpoint_url": url}},
                "attach.endpoint_url",
                "endpoint_url",
                id=url,
            )
            for url in (
                "ftp://h/v1",
                "https://u:hunter2@h/v1",
                "https://h/v1?key=hunter2",
                "https://h/v1#x",
                "https:///v1",
                "https://h:port/",
                "https://h/ v1",
                "https://[::1/",
                "https://evil\\@h/",
                "h/v1",
            )
        ),
        pytest.param(
            "session.create",
            {"attach": {**ATTACH, "ends_at": "2026-01-01T00:00:00"}},
            "attach.ends_at",
            "timestamp",
            id="a time without offset",
        ),
        pytest.param(
            "session.create",
            {"attach": {**ATTACH, "ends_at": "0001-01-01T00:00:00+10:00"}},
            "attach.ends_at",
            "timestamp",
            id="a time before all times",
        ),
        pytest.param("session.create", {"metadata": [1]}, "metadata", "dict_type", id="metadata as a list"),
        pytest.param(
            "session.create",
            {"metadata": {"k": "é" * 2045}},
            "metadata",
            "metadata_size",
            id="metadata too large",
        ),
        pytest.param(
            "session.create", {"metadata": {"k": 2**63}}, "metadata.k", "integer_range", id="65 bits"
        ),
        pytest.param(
            "session.create",
            {"metadata": {"k": [1, float("nan")]}},
            "metadata.k[1]",
            "finite_number",
            id="NaN",
        ),
        pytest.param(
            "session.create", {"metadata": {"k": float("inf")}}, "metadata.k", "finite_number", id="infinity"
        ),
        pytest.param(
            "session.create", {"metadata": {"k": "a\x00"}}, "metadata.k", "unstorable_text", id="NUL"
        ),
        pytest.param(
            "session.create", {"metadata": {"a\x00": 1}}, "metadata", "unstorable_text", id="NUL in a key"
        ),
        pytest.param(
            "session.create", {"metadata": {"k": "\ud800"}}, "metadata.k", "unstorable_text", id="half a pair"
        ),
        pytest.param(
            "session.create", {"description": "\x00"}, "description", "unstorable_text", id="NUL in a text"
        ),
        pytest.param("session.create", {"metadata": {"k": {1}}}, "metadata.k", "json_type", id="no JSON"),
        pytest.param(
            "session.create", {"metadata": {1: 1}}, "metadata", "key_type", id="a key that is a number"
        ),
        pytest.param("session.close", {"reason": "dead"}, "reason", "literal_error", id="a reason of ours"),
        pytest.param("session.close", {"confirm": True}, "request", "confirm", id="a user proves nothing"),
        pytest.param(
            "session.close",
            {"force": True, "detail": "why not"},
            "request",
            "force",
            id="a user forces nothing",
        ),
        pytest.param(
            "session.close",
            {"force": True, "reason": "operator"},
            "request",
            "force",
            id="forced without a why",
        ),
        pytest.param(
            "session.close",
            {"force": True, "reason": "operator", "detail": "why not"},
            "request",
            "force",
            id="forced without a name",
        ),
        pytest.param(
            "session.close",
            {"force": True, "confirm": True, "reason": "operator", "detail": "why not"},
            "request",
            "force",
            id="forced and proven",
        ),
        pytest.param(
            "session.extend", {"max_interactions": None}, "request", "nothing", id="extends nothing"
        ),
        pytest.param("session.record_interactions", {"batch": []}, "batch", "too_short", id="an empty batch"),
        pytest.param(
            "session.record_interactions",
            {"batch": [{**SESSION, "count": 1}] * 10_001},
            "batch",
            "too_long",
            id="an endless batch",
        ),
        pytest.param(
            "session.record_interactions",
            {"batch": [{**SESSION, "count": 1}, {**SESSION, "count": 0}]},
            "batch[1].count",
            "greater_than_equal",
            id="nothing to count",
        ),
        pytest.param(
            "session.record_interactions",
            {"batch": [{**SESSION, "count": 1, "at": 1_700_000_000}]},
            "batch[0].at",
            "timestamp",
            id="a time as a number",
        ),
        pytest.param(
            "account.put", {"currency": "usd"}, "currency", "currency", id="a currency in small letters"
        ),
        pytest.param("account.credit", {"amount": 0}, "amount", "money_format", id="a credit of nothing"),
        pytest.param("account.credit", {"key": ""}, "key", "string_too_short", id="a credit without a key"),
        pytest.param(
            "account.debit", {"reason": ""}, "reason", "string_too_short", id="a debit without a reason"
        ),
        pytest.param("account.debit", {"author": "a\nb"}, "author", "one_line", id="an author of two lines"),
        pytest.param("model.put", {"type": "TTS"}, "type", "enum", id="another type of model"),
        pytest.param(
            "model.put", {"providers": ["a"]}, "request", "providers", id="a provider named in both ways"
        ),
        pytest.param(
            "model.put",
            {"provider": None, "providers": ["a", "a"]},
            "request",
            "providers",
            id="a provider twice",
        ),
        pytest.param(
            "model.put",
            {"provider_model_id": None, "provider_model_ids": {"b": "x"}},
            "request",
            "provider_model_ids",
            id="an id for another provider",
        ),
        pytest.param("model.put", {"source": "private"}, "request", "owner", id="private without an owner"),
    ],
)
def test_what_is_refused(name: str, changes: dict[str, Any], loc: str, kind: str) -> None:
    refused = refusal(name, changes)
    assert [(fault["loc"], fault["type"]) for fault in refused.details["faults"]] == [(loc, kind)]
    assert refused.message.startswith(f"{loc}: ")
    assert len(refused.message) < 200
    assert "hunter2" not in refused.message + json.dumps(dict(refused.details))


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Refusal, match="account_id: is missing"):
        parse("orchestrator.session.create", {"model_id": "m"})


def test_a_model_that_chats_needs_its_size() -> None:
    without = {key: value for key, value in MODEL.items() if key != "size"}
    with pytest.raises(Refusal, match="needs size and learning_stage"):
        parse("orchestrator.model.put", without)
    parse("orchestrator.model.put", {**without, "type": "ASR"})


def test_every_fault_is_reported_and_the_message_names_the_first() -> None:
    refused = refusal("session.create", {"nodes": 0, "start": 1, "name": ""})
    assert [fault["loc"] for fault in refused.details["faults"]] == ["name", "nodes", "start"]
    assert refused.message == "name: must have 1 or more characters (2 more faults)"


def test_of_a_large_batch_not_every_fault_is_reported() -> None:
    refused = refusal("session.record_interactions", {"batch": [{}] * 9_000})
    assert len(refused.details["faults"]) == 50
    assert "(17999 more faults)" in refused.message


@pytest.mark.parametrize("kwargs", [None, [], "x", 1], ids=repr)
def test_arguments_that_are_no_object(kwargs: object) -> None:
    with pytest.raises(Refusal, match="must be a JSON object"):
        parse("orchestrator.session.ping", kwargs)


def test_an_unknown_job_is_refused() -> None:
    with pytest.raises(Refusal, match=r"unknown job; known are orchestrator.session.create"):
        parse("orchestrator.invoice", {})


def test_a_misspelt_job_is_refused_with_the_nearest() -> None:
    with pytest.raises(Refusal, match=r"unknown job; did you mean orchestrator.session.delete\?"):
        parse("orchestrator.session.delet", {})


def test_metadata_is_measured_as_compact_json() -> None:
    room = METADATA_BYTES - len('{"k":""}')
    create(metadata={"k": "x" * room})
    refusal("session.create", {"metadata": {"k": "x" * (room + 1)}})


def test_nesting_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5_000):
        deep = {"k": deep}
    assert refusal("session.create", {"metadata": deep}).details["faults"][0]["type"] == "too_deep"


def test_an_operator_may_prove_a_close() -> None:
    request = job("session.close", {"reason": "operator", "confirm": True})
    assert request.model_dump()["confirm"] is True


def test_an_operator_may_end_a_close_without_proof() -> None:
    request = job("session.close", {"reason": "operator", "force": True, "by": "ann", "detail": "ticket 7"})
    assert (request.model_dump()["force"], request.model_dump()["by"]) == (True, "ann")


def test_a_model_leaves_as_a_snapshot() -> None:
    assert model(source="private", owner="acme", tags=["ready"]).as_model() == Model(
        id="llama",
        providers=("a",),
        provider_model_ids={"a": "0x62"},
        type=ModelType.LLM,
        size="8B",
        learning_stage="Instruction-tuned",
        source=ModelSource.PRIVATE,
        owner="acme",
        tags=("ready",),
        price_per_node_hour=Decimal("1.20"),
        currency="USD",
    )


def test_a_model_of_several_providers_keeps_their_order() -> None:
    several = model(
        provider=None, providers=["b", "a"], provider_model_id=None, provider_model_ids={"a": "x", "b": "y"}
    ).as_model()
    assert several.providers == ("b", "a")
    assert several.provider_model_ids == {"a": "x", "b": "y"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param({}, {"session_id": "s"}, True, id="the session id is no content"),
        pytest.param({}, {"nodes": 1, "stop": {}, "on_quota": "reject"}, True, id="defaults, given or not"),
        pytest.param(
            {"stop": {"max_cost": "1.20"}}, {"stop": {"max_cost": "01.2"}}, True, id="money, however written"
        ),
        pytest.param(
            {"stop": {"max_cost": 100}}, {"stop": {"max_cost": "100.0"}}, True, id="money as a number"
        ),
        pytest.param(
            {"metadata": {"a": 1, "b": 2}}, {"metadata": {"b": 2, "a": 1}}, True, id="keys in any order"
        ),
        pytest.param(
            {"attach": {**ATTACH, "ends_at": "2026-01-01T00:00:00Z"}},
            {"attach": {**ATTACH, "ends_at": "2026-01-01T02:00:00+02:00"}},
            True,
            id="the same instant",
        ),
        pytest.param({}, {"nodes": 2}, False, id="another number of nodes"),
        pytest.param({"name": "a"}, {"name": "b"}, False, id="another name"),
        pytest.param(
            {"metadata": {"a": [1, 2]}}, {"metadata": {"a": [2, 1]}}, False, id="lists have an order"
        ),
        pytest.param({"metadata": {"a": 1}}, {"metadata": {"a": "1"}}, False, id="a number is no text"),
    ],
)
def test_the_digest_of_a_create(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (digest(create(**one)) == digest(create(**other))) is same


def test_the_digest_outlives_releases() -> None:
    """It is stored with sessions: if this changes, repeated creates of earlier releases become conflicts."""
    assert digest(create(name="n", stop={"max_cost": "1.50"})) == DIGEST


DIGEST = "7868572f02bf06d3025dcd8c089d6d9b15657afc5bc23196b4de9f5328a0f29b"


def test_the_schema_describes_every_job() -> None:
    described = schema()
    assert set(described["properties"]) == set(JOBS)
    definitions = described["$defs"]
    assert definitions["CreateSession"]["required"] == ["account_id", "model_id"]
    assert definitions["CreateSession"]["additionalProperties"] is False
    assert definitions["CreateSession"]["properties"]["account_id"]["pattern"] == "^[A-Za-z0-9._:-]{1,64}$"
    assert json.loads(json.dumps(described)) == described


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(), below, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({field for model in JOBS.values() for field in model.model_fields})


@given(
    name=st.sampled_from(sorted(JOBS)), kwargs=st.dictionaries(st.sampled_from(FIELDS) | st.text(), ANY_JSON)
)
def test_whatever_is_sent_is_a_request_or_refused(name: str, kwargs: dict[str, Any]) -> None:
    smallest = SMALLEST[name.removeprefix("orchestrator.")]
    for arguments in (kwargs, smallest | kwargs):
        taken, refused = tried(name, arguments)
        if refused is None:
            assert taken is not None
            json.dumps(taken.model_dump(mode="json"), allow_nan=False)
        else:
            assert refused.code is ErrorCode.INVALID_REQUEST
            assert len(refused.message) < 300
            json.dumps(refused.details["faults"], allow_nan=False).encode()


@given(
    field=st.sampled_from(FIELDS),
    name=st.sampled_from(sorted(JOBS)),
    wrap=st.sampled_from(["%s", " %s", "%s\n\x00"]),
)
def test_no_message_repeats_what_was_given(field: str, name: str, wrap: str) -> None:
    secret = wrap % "sk-hunter2"
    for value in (secret, [secret], {secret: secret}, {"max_cost": secret}, [{"at": secret}]):
        _, refused = tried(name, SMALLEST[name.removeprefix("orchestrator.")] | {field: value})
        if refused is not None:
            assert "hunter2" not in refused.message + json.dumps(dict(refused.details))


def test_a_service_in_python_gives_amounts_times_and_choices_as_its_own_types() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    request = CreateSession(
        account_id="acme",
        model_id="llama",
        on_quota=OnQuota.QUEUE,
        stop=StopRequest(max_cost=Decimal("1.50")),
        attach=AttachRequest(endpoint_url="https://h/v1", secret_ref="env:KEY", model="x", ends_at=noon),
    )
    sent = request.model_dump(mode="json", exclude_unset=True)
    assert (sent["stop"]["max_cost"], sent["attach"]["ends_at"]) == ("1.5", "2026-01-01T11:00:00Z")
    assert parse("orchestrator.session.create", sent) == request


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "0", "1E+12", "0.0000001"])
def test_amounts_in_python_have_the_same_bounds(amount: str) -> None:
    with pytest.raises(ValidationError, match="must be above 0"):
        StopRequest(max_cost=Decimal(amount))


def test_a_time_in_python_needs_its_offset() -> None:
    with pytest.raises(ValidationError, match="with its offset"):
        Interactions(session_id="s-1", count=1, at=datetime(2026, 1, 1, 12))  # noqa: DTZ001


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize(
    ("added", "loc", "kind"),
    [
        pytest.param({"ok": "a\x00"}, ".ok", "unstorable_text", id="NUL"),
        pytest.param({"\ud800": 1}, "", "unstorable_text", id="half a pair in a key"),
        pytest.param({"count": 2**63}, ".count", "integer_range", id="65 bits"),
        pytest.param({"count": -(2**63) - 1}, ".count", "integer_range", id="65 bits below zero"),
        pytest.param({"count": 10**5000}, ".count", "integer_range", id="more digits than Python writes"),
        pytest.param({"count": float("nan")}, ".count", "finite_number", id="NaN"),
        pytest.param({"count": (1,)}, ".count", "json_type", id="no JSON type"),
        pytest.param({"at": ["\x00"]}, ".at[0]", "unstorable_text", id="NUL below"),
        pytest.param({7: 1}, "", "key_type", id="a number as a key"),
    ],
)
def test_what_cannot_be_stored_is_found_in_any_item_of_a_batch(
    added: dict[Any, Any], loc: str, kind: str, place: int
) -> None:
    batch: list[dict[Any, Any]] = [{"session_id": "s", "count": 1} for _ in range(4)]
    batch[place] |= added
    with pytest.raises(Refusal) as refused:
        parse("orchestrator.session.record_interactions", {"batch": batch})
    first = refused.value.details["faults"][0]
    assert (first["loc"], first["type"]) == (f"batch[{place}]{loc}", kind)
