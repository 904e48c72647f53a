"""The two shapes of an outcome."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from orchestrator.client import StopRequest, plain, refused, succeeded
from orchestrator.rules.refusals import ErrorCode, Refusal
from orchestrator.rules.states import State


def test_a_result_is_plain_json() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1)))
    outcome = succeeded({"state": State.RUNNING, "cost": Decimal("1.20"), "at": noon, "list": (1, None)})
    assert outcome == {
        "ok": True,
        "result": {"state": "running", "cost": "1.20", "at": "2026-01-01T11:00:00Z", "list": [1, None]},
    }
    assert type(outcome["result"]["state"]) is str


def test_a_refusal_has_code_message_and_details() -> None:
    outcome = refused(Refusal(ErrorCode.INSUFFICIENT_BALANCE, "needs 1.20 USD", needed=Decimal("1.20")))
    assert json.loads(json.dumps(outcome)) == {
        "ok": False,
        "error": {"code": "insufficient_balance", "message": "needs 1.20 USD", "details": {"needed": "1.20"}},
    }


def test_a_request_in_a_result_is_plain_json_without_what_was_left_out() -> None:
    assert plain({"stop": StopRequest(max_cost=Decimal("1.50"))}) == {"stop": {"max_cost": "1.5"}}
