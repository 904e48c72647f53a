"""When a job may begin, and until when: a worker holds it for seconds, and the job checks the time."""

from datetime import UTC, datetime
from typing import Any

import pytest

from orchestrator.rules.installation.delivery_times import (
    NOT_AFTER,
    NOT_BEFORE,
    RETRY_AFTER,
    fault_of,
    instant,
)
from orchestrator.rules.installation.messages import read_task

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def read(**headers: Any) -> Any:
    return read_task({"task": "orchestrator.session.close", "id": "t-1", **headers}, [[], {}, {}], NOW)


@pytest.mark.parametrize("name", ["eta", NOT_BEFORE])
@pytest.mark.parametrize(
    ("begins", "held_until"),
    [
        ("2026-01-01T00:00:05+00:00", "2026-01-01T00:00:05+00:00"),
        ("2026-01-01T01:00:00", "2026-01-01T00:00:30+00:00"),
        ("2026-01-01T23:59:59-00:00", "2026-01-01T00:00:30+00:00"),
        ("2026-01-01T00:00:00", None),
        ("2026-01-02T00:00:01", None),
        ("9999-12-31T23:59:59", None),
        ("1999-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00", None),
    ],
)
def test_a_job_may_wait_a_while_and_is_held_for_seconds(
    name: str, begins: str, held_until: str | None
) -> None:
    headers = read(**{name: begins}).headers
    assert headers.get("eta") == held_until
    assert instant(headers[NOT_BEFORE]) == instant(begins)


@pytest.mark.parametrize("name", ["expires", NOT_AFTER])
@pytest.mark.parametrize(
    "expires", ["2026-01-01T00:00:05+01:00", "0001-01-01T00:00:00", "9999-12-31T23:59:59"]
)
def test_the_library_does_not_see_when_a_job_expires(name: str, expires: str) -> None:
    headers = read(**{name: expires}).headers
    assert "expires" not in headers
    assert instant(headers[NOT_AFTER]) == instant(expires)


@pytest.mark.parametrize(("seconds", "begins"), [(5, "00:00:05"), (0.5, "00:00:00.500000"), (60, "00:01:00")])
@pytest.mark.parametrize("eta", [None, "2026-01-01T02:00:05+00:00"])
def test_a_job_that_is_tried_again_waits_by_the_clock_of_the_worker_that_takes_it(
    seconds: float, begins: str, eta: str | None
) -> None:
    assert read(eta=eta, **{RETRY_AFTER: seconds}).headers["eta"] == f"2026-01-01T{begins}+00:00"


def test_a_job_that_waits_for_nothing_begins_at_once() -> None:
    assert "eta" not in read(**{RETRY_AFTER: 0}).headers


@pytest.mark.parametrize(
    ("not_before", "not_after", "refused_for"),
    [
        (None, "2026-01-01T00:00:00", None),
        (None, "2025-12-31T23:59:59", "expired"),
        ("2026-01-02T00:00:00", None, None),
        ("2026-01-02T00:00:01", None, "eta"),
        ("2026-01-02T00:00:01", "2025-12-31T23:59:59", "expired"),
    ],
)
def test_a_job_is_refused_for_its_times(
    not_before: str | None, not_after: str | None, refused_for: str | None
) -> None:
    fault = fault_of(not_before, not_after, NOW)
    assert fault is None if refused_for is None else refused_for in (fault or "")
