"""The page What if: a change is tried, and its effect shown."""

from urllib.parse import urlencode

import pytest

from orchestrator.rules.values import Scope
from tests.console.stage import Stage
from tests.world import MINUTE, World


def test_a_change_is_tried_on_a_page(site: Stage, world: World) -> None:
    session_id = world.run_session(name="long-runner", stop={"max_duration_seconds": 3600})
    world.pass_time(10 * MINUTE)
    anna = site.person(Scope.READ)
    form = anna.page("/what-if")
    assert "policy.dead_after_failures" in form
    asked = {"set": "plans.payg.max_duration_seconds = 300\n\nmax_placements=2", "prices": "llama = 1.20"}
    shown = anna.page(f"/what-if?{urlencode(asked)}")
    assert f'<a href="/sessions/{session_id}">long-runner</a>' in shown
    assert "1 to end earlier, 0 to end later or never, 0 to be refused" in shown
    assert "No session changes" in shown, "with the deploy"
    assert "the plan&#39;s ceiling of 300 s" in shown
    assert '<option value="100" selected>' in shown
    all_of_them = anna.page(f"/what-if?{urlencode(asked | {'most_sessions': '20000'})}")
    assert '<option value="20000" selected>' in all_of_them
    same = anna.page(f"/what-if?{urlencode({'set': 'max_placements = 3'})}")
    assert "Nothing changes: every value is as it is now" in same


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"set": "max_placements"}, 422, "must be KEY=VALUE, one on each line"),
        ({"set": "max_placemints = 3"}, 422, "did you mean max_placements"),
        ({"prices": "lama = 3"}, 404, "model lama is unknown"),
        ({"prices": "llama = <b>"}, 422, "prices"),
    ],
)
def test_what_cannot_be_tried_is_said_beside_the_form(
    site: Stage, asked: dict[str, str], status: int, said: str
) -> None:
    shown = site.person(Scope.READ).page(f"/what-if?{urlencode(asked)}", status=status)
    assert said in shown
    assert '<textarea id="set"' in shown
    assert "<b>" not in shown


def test_it_is_not_for_a_token_of_one_account(site: Stage) -> None:
    jim = site.person(Scope.OPERATE, account="acme")
    jim.page("/what-if", status=403)
    assert "What if" not in jim.page("/sessions")
