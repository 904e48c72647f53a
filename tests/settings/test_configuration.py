"""orchestrator.toml: its contents, and every fault by its path."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.rules.values import Plan, Policy
from orchestrator.settings import (
    Configuration,
    ConfigurationError,
    Fault,
    KnownDriver,
    SecretStore,
    load_configuration,
)

EXAMPLE = Path(__file__).parents[2] / "deploy" / "orchestrator.toml"
SECRETS = SecretStore(
    dict.fromkeys(("AIML_KEY_1", "AIML_KEY_2", "MORPHEUS_KEY_1", "MORPHEUS_KEY_2", "K"), "x")
)
AIML = 'driver = "aimlapi"\nbase_url = "https://h/v1"\n'


def drivers_of_the_test(options: Mapping[str, Any]) -> list[Fault]:
    return [Fault((key,), "unknown key") for key in options if key not in ("own", "base_url")]


DRIVERS = {
    "aimlapi": KnownDriver(option_faults=drivers_of_the_test),
    "fpt": KnownDriver(option_faults=drivers_of_the_test, needs_base_url=False),
    "morpheus": KnownDriver(option_faults=drivers_of_the_test),
}


def read(tmp_path: Path, text: str, **options: Any) -> Configuration:
    path = tmp_path / "o.toml"
    path.write_text(text)
    return load_configuration(path, **{"known_drivers": DRIVERS, "secrets": SECRETS, **options})


def faults(tmp_path: Path, text: str, **options: Any) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, text, **options)
    assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]
    return str(caught.value).splitlines()


def test_an_empty_file_has_the_defaults(tmp_path: Path) -> None:
    configuration = read(tmp_path, "")
    assert configuration == Configuration()
    assert configuration.policy == Policy()
    assert configuration.plan("payg") == Plan(name="payg", max_sessions=20, max_concurrent=2, max_nodes=2)
    assert configuration.plan("contract") == Plan(name="contract")
    assert configuration.plan("gold") is None
    assert configuration.catalog_required_tags == ("ready",)
    assert not configuration.attach_permits("env:K", "https://h/v1")


def test_the_default_file_may_be_missing_and_one_asked_for_may_not(tmp_path: Path) -> None:
    assert load_configuration(tmp_path / "no.toml", required=False) == Configuration()
    with pytest.raises(ConfigurationError, match=r"no\.toml: does not exist.*ORCHESTRATOR_CONFIG"):
        load_configuration(tmp_path / "no.toml")


def test_the_example_is_valid_and_shows_the_defaults() -> None:
    configuration = load_configuration(EXAMPLE, require_secrets=False)
    assert configuration.policy == Policy()
    defaults = Configuration()
    assert {name: configuration.plans[name] for name in defaults.plans} == defaults.plans
    assert (configuration.audit, configuration.retention) == (
        defaults.audit,
        defaults.retention,
    )
    assert configuration.policy_for("aiml").ping_interval_seconds == 60
    assert configuration.policy_for("morpheus").resolve_after_seconds == 900
    assert configuration.providers["morpheus"].credentials == ("env:MORPHEUS_KEY_1",)
    assert configuration.providers["morpheus"].retired_credentials == ("env:MORPHEUS_KEY_2",)
    assert configuration.attach_permits("env:FPT_TOKEN_7", "https://api.gptcloud.com/aiam/v1")


def test_retention_and_automatic_deletion_are_read(tmp_path: Path) -> None:
    chosen = 'sessions = "archive"\nsessions_kept_days = 90\nauto_delete_after_seconds = 60\n'
    plans = "[plans.payg]\nauto_delete_after_seconds = 0\n[plans.contract]\nauto_delete_after_seconds = 30\n"
    configuration = read(tmp_path, f"[retention]\n{chosen}{plans}", require_secrets=False)
    assert configuration.retention.sessions_kept == timedelta(days=90)
    after = configuration.delete_after()
    assert (after.others, after.plans) == (timedelta(seconds=60), {"contract": timedelta(seconds=30)})
    assert after.own == {"payg", "contract"}
    assert Configuration().retention.sessions_kept is None
    assert Configuration().delete_after().others is None


def test_ranges_that_attached_hosts_may_lead_to_are_read_and_checked(tmp_path: Path) -> None:
    configuration = read(tmp_path, '[attach]\nprivate_networks = ["10.0.0.0/8"]\n', require_secrets=False)
    assert configuration.attach_reach.allows("vllm.internal", "10.1.2.3")
    assert not configuration.attach_reach.allows("vllm.internal", "127.0.0.1")
    with pytest.raises(ConfigurationError, match=r"attach.private_networks\[0\]: must be a range"):
        read(tmp_path, '[attach]\nprivate_networks = ["10.0.0.1/8"]\n', require_secrets=False)


def test_single_keys_are_laid_over_what_holds_without_them(tmp_path: Path) -> None:
    configuration = read(
        tmp_path,
        "[policy]\nmax_placements = 5\nwarn_before_stop_seconds = [60, 300, 60]\ndead_after_seconds = 0\n"
        "[plans.payg]\nmax_nodes = 4\n[plans.gold]\nmax_sessions = 0\n"
        f"[providers.aiml]\n{AIML}dead_after_failures = 1\nown = true\nping_interval_seconds = 0.5",
    )
    assert configuration.policy == Policy(
        max_placements=5, warn_before_stop_seconds=(300, 60), dead_after_seconds=0
    )
    assert configuration.plan("payg") == Plan(name="payg", max_sessions=20, max_concurrent=2, max_nodes=4)
    assert configuration.plan("gold") == Plan(name="gold", max_sessions=0)
    assert configuration.policy_for("aiml").dead_after_failures == 1
    assert configuration.policy_for("aiml").ping_interval_seconds == 0.5
    assert configuration.policy_for("aiml").max_placements == 5
    assert configuration.policy_for(None) == configuration.policy_for("gone") == configuration.policy
    assert configuration.providers["aiml"].options == {"own": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[polcy]", "polcy: unknown key; did you mean policy?", id="a misspelt table"),
        pytest.param(
            "[policy]\nmax_placement = 2",
            "policy.max_placement: unknown key; did you mean max_placements?",
            id="a misspelt key",
        ),
        pytest.param(
            "policy = 3", "policy: must be a table, not a whole number; write [policy]", id="no table"
        ),
        pytest.param(
            "[policy]\nmax_placements = -1",
            "policy.max_placements: must be between 1 and 1000000000",
            id="a negative number",
        ),
        pytest.param(
            "[policy]\nmax_placements = 1.5",
            "policy.max_placements: must be a whole number, not a fraction",
            id="half a placement",
        ),
        pytest.param(
            "[policy]\nping_interval_seconds = true",
            "policy.ping_interval_seconds: must be a number, not true or false",
            id="true is no number",
        ),
        pytest.param(
            "[policy]\nping_interval_seconds = nan",
            "policy.ping_interval_seconds: must be a finite number, not nan",
            id="not a number",
        ),
        pytest.param(
            "[policy]\nping_interval_seconds = 1e400",
            "policy.ping_interval_seconds: must be a finite number, not inf",
            id="a number beyond all",
        ),
        pytest.param(
            "[policy]\nmax_placements = 1e400",
            "policy.max_placements: must be a whole number, not inf",
            id="endless placements",
        ),
        pytest.param(
            f"[policy]\nping_interval_seconds = 1{'0' * 400}",
            "policy.ping_interval_seconds: must be a smaller number",
            id="a number of 401 digits",
        ),
        pytest.param(
            '[plans.""]',
            'plans."": must have a name, by which accounts refer to it',
            id="a plan without a name",
        ),
        pytest.param(
            '[attach]\nallowed = [{secret_ref = "env:A_*", host = "h"}, "x"]',
            "attach.allowed[1]: must be a table, not a text;"
            ' for example allowed = [{secret_ref = "env:NAME_*", host = "name"}]',
            id="one rule that is no table",
        ),
        pytest.param(
            "[policy]\nwarn_before_stop_seconds = [60, 0]",
            "policy.warn_before_stop_seconds[1]: must be between 1 and 315360000 seconds",
            id="a warning at the stop",
        ),
        pytest.param(
            "[plans.payg]\nqueue_timeout_seconds = 0",
            "plans.payg.queue_timeout_seconds: must be between 1 and 315360000 seconds",
            id="no time to wait",
        ),
        pytest.param(
            "[plans.payg]\nmax_sessions = -1",
            "plans.payg.max_sessions: must be between 0 and 1000000000",
            id="fewer than no sessions",
        ),
        pytest.param(
            "[retention]\nevents_days = 0",
            "retention.events_days: must be between 1 and 3650 days",
            id="events that are gone at once",
        ),
        pytest.param(
            '[retention]\nsessions = "archive"\nsessions_kept_days = 30',
            "retention.sessions_kept_days: must be between 31 and 3650 days",
            id="sessions that leave too soon",
        ),
        pytest.param(
            '[retention]\nsessions = "delete"',
            "retention.sessions_kept_days: must say after how many days (31 or more) to delete",
            id="sessions that leave at an unknown time",
        ),
        pytest.param(
            "[retention]\nsessions_kept_days = 90",
            'retention.sessions_kept_days: needs the key sessions, "archive" or "delete": what happens after '
            "that many days",
            id="sessions that leave to nowhere",
        ),
        pytest.param(
            '[retention]\nsessions = "burn"',
            'retention.sessions: must be "keep", "archive" or "delete"',
            id="sessions that are burnt",
        ),
        pytest.param(
            "[plans.payg]\nauto_delete_after_seconds = -1",
            "plans.payg.auto_delete_after_seconds: must be between 0 and 315360000 seconds",
            id="sessions deleted before they end",
        ),
        pytest.param(
            "[policy]\nreconcile_max_share = 1.5",
            "policy.reconcile_max_share: must be between 0 and 1",
            id="a share of more than all",
        ),
        pytest.param(
            "[policy]\nwarn_before_stop_seconds = 60",
            "policy.warn_before_stop_seconds: must be a list, not a whole number;"
            " for example warn_before_stop_seconds = [900, 300]",
            id="a warning without a list",
        ),
        pytest.param(
            "[plans]\npayg = 3",
            "plans.payg: must be a table, not a whole number; write [plans.payg]",
            id="a plan as a number",
        ),
        pytest.param(
            "[plans.payg]\nmax_nods = 1",
            "plans.payg.max_nods: unknown key; did you mean max_nodes?",
            id="a quota",
        ),
        pytest.param(
            '[catalog]\nprivate_required_tags = "ready"',
            'catalog.private_required_tags: must be a list, not a text; for example private_required_tags = ["ready"]',
            id="tags as a text",
        ),
        pytest.param(
            '[attach]\nallowed = [{secret_ref = "env:*", host = "h"}]',
            "attach.allowed[0].secret_ref: must be env:NAME or file:/path, "
            "where * stands for any characters of a name",
            id="every variable may be sent",
        ),
        pytest.param(
            '[attach]\nallowed = [{secret_ref = "env:A_*", host = "https://h/v1"}]',
            "attach.allowed[0].host: must be a host's name, with its port unless that is 443 (name:8443);"
            " for an endpoint without TLS, after its scheme (http://name:8080)",
            id="a URL for a host",
        ),
        pytest.param(
            "[attach]\nallowed = [1]",
            "attach.allowed[0]: must be a table, not a whole number;"
            ' for example allowed = [{secret_ref = "env:NAME_*", host = "name"}]',
            id="a rule as a number",
        ),
    ],
)
def test_faults_outside_of_providers(tmp_path: Path, text: str, expected: str) -> None:
    assert faults(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            AIML + 'credentials = ["env:K", "env:GONE"]',
            "credentials[1]: environment variable GONE is not set",
            id="a missing secret",
        ),
        pytest.param(
            AIML + 'credentials = ["sk-hunter2"]',
            "credentials[0]: must be env:NAME or file:/path, never the secret itself",
            id="the secret itself",
        ),
        pytest.param(
            AIML + 'credentials = ["env:K", "env:K"]', "credentials[1]: is listed twice", id="twice"
        ),
        pytest.param(
            AIML + 'credentials = "env:K"',
            'credentials: must be a list, not a text; for example credentials = ["env:KEY_1"]',
            id="no list",
        ),
        pytest.param(
            AIML + 'credentials = [{ref = "env:K", retired = 1}]',
            "credentials[0].retired: must be true or false, not a whole number",
            id="retired by a number",
        ),
        pytest.param(
            AIML + 'credentials = [{ref = "env:K", retird = true}]',
            "credentials[0].retird: unknown key; did you mean retired?",
            id="retired misspelt",
        ),
        pytest.param(
            'driver = "aimlap"\nbase_url = "http://h"',
            "driver: unknown driver; did you mean aimlapi?",
            id="a driver",
        ),
        pytest.param(
            'driver = "zzz"\nbase_url = "http://h"',
            "driver: unknown driver, known are aimlapi, fpt, morpheus",
            id="a driver like none",
        ),
        pytest.param(
            'base_url = "http://h"',
            "driver: is missing: say which platform's API this provider speaks",
            id="no driver",
        ),
        pytest.param(
            'driver = "aimlapi"',
            "base_url: is missing: give the address of the platform's API (https://…)",
            id="no address",
        ),
        pytest.param(
            'driver = "aimlapi"\nbase_url = "https://u:hunter2@h"',
            "base_url: must not contain a user, password, query or fragment: secrets are given by reference",
            id="a password in the address",
        ),
        pytest.param(
            'driver = "aimlapi"\nbase_url = "ftp://h"',
            "base_url: must begin with http:// or https:// and name a host",
            id="an address of another kind",
        ),
        pytest.param(
            AIML + "max_inflight = 3",
            "max_inflight: unknown key; did you mean max_in_flight?",
            id="a misspelt key",
        ),
        pytest.param(AIML + "other = 3", "other: unknown key", id="a key that the driver does not know"),
        pytest.param(
            AIML + "max_in_flight = 0",
            "max_in_flight: must be between 1 and 1000000000",
            id="nothing in flight",
        ),
    ],
)
def test_faults_of_providers(tmp_path: Path, text: str, expected: str) -> None:
    found = faults(tmp_path, f"[providers.aiml]\n{text}")
    assert found == [f"providers.aiml.{expected}"]
    assert "hunter2" not in str(found)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    text = f"[policy]\nx = 1\n[plans.a]\ny = 1\n[providers.p]\n{AIML}z = 1\ncredentials = ['env:GONE', 4]"
    assert [line.partition(":")[0] for line in faults(tmp_path, text)] == [
        "policy.x",
        "plans.a.y",
        "providers.p.credentials[0]",
        "providers.p.credentials[1]",
        "providers.p.z",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"[policy\n", "is not valid TOML: .*line 1", id="a broken line"),
        pytest.param(b"a = '\xff'", "is not UTF-8 text", id="bytes that are no text"),
        pytest.param(b"a = " + b"[" * 100_000, "is not valid TOML", id="nested without end"),
        pytest.param(b"x" + b".x" * 3_000 + b" = 1\n[polcy]", "did you mean policy", id="keys without end"),
        pytest.param(b'"[key]" = 1', r"\[key\]: unknown key", id="a key as pydantic marks keys"),
        pytest.param(b"a = " + b"1" * 5_000, "is not valid TOML", id="a number without end"),
        pytest.param(
            b"[policy]\na = 1\na = 2\n", r"a key is given twice \(at line 3", id="a key given twice"
        ),
        pytest.param(
            b"[plans.a]\n[plans.a]\n",
            r"the table 'plans', 'a' is given twice \(at line 2",
            id="a table given twice",
        ),
    ],
)
def test_what_is_no_toml(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "o.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=expected):
        load_configuration(path)


def test_a_file_may_begin_as_some_editors_mark_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "o.toml"
    path.write_bytes(b"\xef\xbb\xbf[policy]\nping_interval_seconds = 7\n")
    assert load_configuration(path).policy.ping_interval_seconds == 7


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_configuration(tmp_path)


def test_a_missing_secret_of_endpoints_is_a_fault_too(tmp_path: Path) -> None:
    text = f"[providers.p]\n{AIML}endpoint_secret_ref = 'env:GONE'"
    options: dict[str, Any] = {"known_drivers": {"aimlapi": KnownDriver(option_faults=lambda _options: [])}}
    assert faults(tmp_path, text, **options) == [
        "providers.p.endpoint_secret_ref: environment variable GONE is not set"
    ]
    assert read(tmp_path, text, require_secrets=False, **options).providers["p"].options


def test_a_missing_secret_need_not_be_a_fault(tmp_path: Path) -> None:
    text = f"[providers.p]\n{AIML}credentials = ['env:GONE']"
    assert read(tmp_path, text, require_secrets=False).providers["p"].credentials == ("env:GONE",)


def test_a_provider_of_attached_endpoints_needs_no_address(tmp_path: Path) -> None:
    assert read(tmp_path, '[providers.f]\ndriver = "fpt"').providers["f"].base_url == ""


def test_without_known_drivers_any_is_taken(tmp_path: Path) -> None:
    text = '[providers.p]\ndriver = "new"\nbase_url = "http://h/"\nflag = 1'
    provider = read(tmp_path, text, known_drivers=None).providers["p"]
    assert (provider.driver, provider.base_url, provider.options) == ("new", "http://h", {"flag": 1})


def test_models_and_accounts_may_stand_in_the_same_file(tmp_path: Path) -> None:
    assert read(tmp_path, '[[models]]\nid = "m"\n[[accounts]]\nid = "a"') == Configuration()


@pytest.mark.parametrize(
    ("secret", "url", "expected"),
    [
        pytest.param("env:FPT_1", "https://api.h.com/v1", True, id="as the rule says"),
        pytest.param("env:FPT_1", "https://API.h.com/v1", True, id="any case"),
        pytest.param("env:FPT_1", "https://evil.com/v1", False, id="another host"),
        pytest.param("env:FPT_1", "https://api.h.com.evil.com/v1", False, id="a host that only begins so"),
        pytest.param("env:FPT_1", "https://api.h.com@evil.com/v1", False, id="a host as user name"),
        pytest.param("env:FPT_1", "https://evil.com\\@api.h.com/", False, id="a host behind a backslash"),
        pytest.param("env:FPT_1", "ftp://api.h.com/v1", False, id="no HTTP"),
        pytest.param("env:FPT_1", "https://api.h.com:port/", False, id="no URL"),
        pytest.param("env:OTHER", "https://api.h.com/v1", False, id="another secret"),
        pytest.param("env:FPT_OWN", "https://api.h.com/v1", False, id="a provider's own"),
        pytest.param("env:FPT_OLD", "https://api.h.com/v1", False, id="a provider's own, retired"),
        pytest.param(
            "env:FPT_ENDPOINT", "https://api.h.com/v1", False, id="a provider's own, of its endpoints"
        ),
        pytest.param("file:/s/fpt/../own", "https://api.h.com/v1", False, id="a file by a detour"),
        pytest.param(
            "env:FPT_1", "http://api.h.com/v1", False, id="without TLS, which the rule does not permit"
        ),
        pytest.param(
            "env:FPT_1", "https://api.h.com:8443/v1", False, id="a port that the rule does not name"
        ),
        pytest.param("env:FPT_1", "https://api.h.com:443/v1", True, id="the port that https means"),
        pytest.param("env:FPT_1", "http://api.h.com:443/v1", False, id="without TLS at the port of TLS"),
        pytest.param("file:/s/fpt/a", "https://api.h.com:81/v1", True, id="a file at the port named"),
        pytest.param("file:/s/fpt/a", "http://api.h.com:81/v1", False, id="a port named, but without TLS"),
        pytest.param("file:/s/fpt/a", "https://api.h.com/v1", False, id="a file at another port"),
        pytest.param("env:PLAIN", "http://plain.h.com:82/v1", True, id="a scheme named"),
        pytest.param("env:PLAIN", "https://plain.h.com:82/v1", False, id="another scheme than the one named"),
        pytest.param("env:LOCAL", "http://127.0.0.1:9000/v1", True, id="the machine itself, any port"),
        pytest.param("env:LOCAL", "http://localhost:9001/v1", True, id="the machine itself, the port named"),
        pytest.param("env:LOCAL", "http://localhost:9002/v1", False, id="the machine itself, another port"),
    ],
)
def test_which_secrets_a_job_may_send_where(tmp_path: Path, secret: str, url: str, expected: bool) -> None:
    text = (
        '[attach]\nallowed = [{secret_ref = "env:FPT_*", host = "api.h.com"},'
        ' {secret_ref = "file:/s/fpt/*", host = "api.h.com:81"},'
        ' {secret_ref = "env:PLAIN", host = "http://plain.h.com:82"},'
        ' {secret_ref = "env:LOCAL", host = "127.0.0.1"}, {secret_ref = "env:LOCAL", host = "localhost:9001"}]\n'
        f"[providers.p]\n{AIML}credentials = ['env:FPT_OWN', {{ref = 'env:FPT_OLD', retired = true}}]\n"
        "own = 'env:FPT_ENDPOINT'"
    )
    assert read(tmp_path, text, require_secrets=False).attach_permits(secret, url) is expected


def test_a_link_to_a_providers_secret_is_that_secret(tmp_path: Path) -> None:
    (tmp_path / "own").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "own")
    text = (
        f'[attach]\nallowed = [{{secret_ref = "file:{tmp_path}/*", host = "h"}}]\n'
        f"[providers.p]\n{AIML}credentials = ['file:{tmp_path}/own']"
    )
    configuration = read(tmp_path, text)
    assert not configuration.attach_permits(f"file:{tmp_path}/link", "https://h")
    assert configuration.attach_permits(f"file:{tmp_path}/other", "https://h")
