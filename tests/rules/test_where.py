"""Which sessions a text means, and what is wrong with one that means none."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.rules.close_plans import LASTS, ClosePlan, PlanChanged, plan_in
from orchestrator.rules.durations import LONGEST_DURATION, parse_duration
from orchestrator.rules.states import State
from orchestrator.rules.values import Session
from orchestrator.rules.where import FIELDS, LONGEST_WHERE, MOST_CONDITIONS, WhereFault, parse_where
from tests.rules.builders import HOUR, MINUTE, SECOND, T0, a_running_session, a_session

NOW = T0 + 2 * HOUR
USED = a_running_session(provider="gw", last_interaction_at=NOW - 30 * MINUTE)


@pytest.mark.parametrize(
    ("text", "session", "meant"),
    [
        ("provider=gw and idle>29m", USED, True),
        ("provider = gw AND idle >= 30min", USED, True),
        ("idle>30m", USED, False),
        ("idle<1h30m", USED, True),
        ("idle>1h", a_running_session(), True),
        ("idle>=0s", a_session(), False),
        ("idle!=5", a_session(), False),
        ("age<=2h", USED, True),
        ("age=7200", USED, True),
        ("cost>120", USED, True),
        ("cost>=121.00 and cost<=121", USED, True),
        ("cost>121", USED, False),
        ("state=running", USED, True),
        ("state!=running", USED, False),
        ('name="one"', USED, True),
        ("name!=one", USED, False),
        ("account=acme and model=llama", USED, True),
        ("provider=gw", a_session(), False),
        ("provider!=gw", a_session(), False),
        ("unproven", a_session(state=State.STOPPING), True),
    ],
)
def test_a_condition_means_sessions(text: str, session: Session, meant: bool) -> None:
    assert parse_where(text).holds(session, NOW) is meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "at character 1: a field is missing"),
        ("  ", "at character 3: a field is missing"),
        ("providr=gw", "at character 1: 'providr' is not a field; did you mean provider?"),
        ("x=gw", "at character 1: 'x' is not a field; known are state"),
        ("provider", "at character 9: an operator (= != < > <= >=) is missing"),
        ("provider gw", "at character 10: expected an operator (= != < > <= >=), not 'gw'"),
        ("provider=", "at character 10: a value is missing"),
        ("provider==gw", "at character 10: expected a value, not '='"),
        ("provider<gw", "at character 9: provider can only be compared with = or !="),
        ("unproven>true", "at character 9: unproven can only be compared with"),
        ("unproven=maybe", "at character 10: unproven must be true or false"),
        ("unproven=true and unproven=false", "at character 19: unproven is given twice"),
        ("state=runing", "at character 7: state must be one of created, queued"),
        ("idle>soon", "at character 6: idle must be a duration such as 90s or 1h30m, not 'soon'"),
        ("cost>much", "at character 6: cost must be money such as 12.50"),
        ("provider=gw or idle>1h", "at character 13: expected `and`, not 'or'"),
        ("provider=gw > 1", "at character 13: expected `and`, not '>'"),
        ("provider=gw and", "at character 16: a field is missing"),
        ('name="never closed', "at character 6: '\"' is unexpected"),
        ("name=a!b", "at character 7: '!' is unexpected"),
        ("name=a\x00", "at character 7: a NUL character or half a surrogate pair"),
        ("name=\udcff", "at character 6: a NUL character or half a surrogate pair"),
        (" and ".join(["age>1"] * (MOST_CONDITIONS + 1)), "more than 20 conditions"),
        ("x" * (LONGEST_WHERE + 1), "more than 1000 characters"),
    ],
)
def test_what_is_wrong_has_its_place(text: str, said: str) -> None:
    with pytest.raises(WhereFault) as wrong:
        parse_where(text)
    assert said in str(wrong.value)


_WORDS = st.sampled_from(
    [*FIELDS, "and", "or", "=", "!=", "<", ">=", '"', "1h", "running", "5", " ", "!", "\u00e4"]
)


@given(text=st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=14).map(" ".join)))
def test_any_text_is_conditions_or_has_a_fault_with_its_place(text: str) -> None:
    try:
        holds, position = parse_where(text).holds(USED, NOW), 1
    except WhereFault as fault:
        holds, position = False, fault.position
    assert isinstance(holds, bool)
    assert 1 <= position <= len(text) + 1


@given(
    field=st.sampled_from(["age", "idle"]),
    sign=st.sampled_from(["<", ">", "<=", ">=", "=", "!="]),
    seconds=st.integers(0, 9000),
)
def test_numbers_compare_as_numbers(field: str, sign: str, seconds: int) -> None:
    used = {"age": 7200, "idle": 1800}[field]
    expected = {"<": used < seconds, ">": used > seconds, "<=": used <= seconds, ">=": used >= seconds}
    expected |= {"=": used == seconds, "!=": used != seconds}
    assert parse_where(f"{field}{sign}{seconds}s").holds(USED, NOW) is expected[sign]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("provider=gw and idle>1h", "provider", "gw"),
        ("provider!=gw", "provider", None),
        ("cost=1", "cost", Decimal(1)),
        ("state=queued", "state", State.QUEUED),
    ],
)
def test_a_query_learns_what_it_can_look_for(text: str, field: str, value: Any) -> None:
    assert parse_where(text).exactly(field) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unproven", True),
        ("unproven=false", False),
        ("unproven!=false", True),
        ("unproven != true", False),
        ("age>1", None),
    ],
)
def test_what_is_without_proof_is_looked_for_in_another_way(text: str, said: bool | None) -> None:
    assert parse_where(text).is_unproven is said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("5min10s", 310),
        ("", None),
        ("-1s", None),
        ("1h x", None),
        ("1.5h", None),
        ("\u0661s", None),
        (f"{LONGEST_DURATION}s", LONGEST_DURATION),
        (f"{LONGEST_DURATION + 1}s", None),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds


def test_a_plan_holds_what_was_shown_and_no_more() -> None:
    plan = ClosePlan.of("digest", ["a", "b"], T0)
    read = plan_in(str(plan))
    assert read == plan
    read.check("digest", ["b"], T0 + MINUTE)
    for digest, ids, at, why in (
        ("other", ["a"], T0, "belongs to another request"),
        ("digest", ["a", "b", "c"], T0, "not in the plan: 1"),
        ("digest", ["a"], T0 + LASTS + SECOND, "older than 900 s"),
        ("digest", ["a"], T0 - timedelta(seconds=1), "older than"),
    ):
        with pytest.raises(PlanChanged, match=why):
            read.check(digest, ids, at)


@pytest.mark.parametrize("text", ["", "x", "äöü", "YQpiCmM=", "ZAoyMDI2LTAxLTAxVDAwOjAwOjAwCg=="])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(PlanChanged, match="it is not the plan of a dry run"):
        plan_in(text)
