"""Random actions of users, operators and time, in any mixture."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from orchestrator.rules.states import Step
from tests.money.platforms import Mood
from tests.money.terms import MODELS

#: Their plans, and their opening credit.
ACCOUNTS = {"acme": ("small", "20"), "bob": ("odd", "1.5"), "corp": ("wide", "60")}

models = st.sampled_from(sorted(MODELS))
accounts = st.sampled_from(sorted(ACCOUNTS))
amounts = st.sampled_from(["0.000001", "0.02", "0.039999", "0.5", "3.333333", "25"])
spans = st.one_of(
    st.sampled_from([60, 37, 900, 240, 241, 400]).map(lambda n: timedelta(seconds=n)),
    st.integers(1, 3000).map(lambda n: timedelta(seconds=n)),
    st.integers(1, 10**9).map(lambda n: timedelta(microseconds=n)),
)
moods = st.one_of(st.just(Mood.WELL), st.sampled_from(Mood))
caps = st.sampled_from(["0.04", "0.1", "0.9", "2.5"]).map(lambda cost: {"max_cost": cost})
stops = st.one_of(
    caps,
    st.fixed_dictionaries(
        {},
        optional={
            "max_duration_seconds": st.integers(1, 3000),
            "max_interactions": st.integers(1, 9),
            "idle_seconds": st.integers(1, 1500),
            "max_cost": st.sampled_from(["0.000002", "0.04", "0.1", "2.5"]),
        },
    ),
)
prices = st.sampled_from(["0.5", "1.000001", "60"])
totals = st.fixed_dictionaries(
    {"max_duration_seconds": st.integers(100, 6000)},
    optional={"max_interactions": st.integers(3, 20), "max_cost": st.sampled_from(["0.5", "9"])},
)
deeds: st.SearchStrategy[tuple[str, dict[str, Any]]] = st.one_of(
    st.sampled_from(["reject", "queue"]).map(lambda how: ("start", {"on_quota": how})),
    st.just(("close", {})),
    st.just(("close", {"reason": "operator", "confirm": True})),
    totals.map(lambda more: ("extend", more)),
)
limits = st.sampled_from([3, 2, 1, 0, 8, "unlimited", "unlimited", "plan", "plan"])
quotas = st.one_of(
    st.just(dict[str, Any]()),
    st.fixed_dictionaries(
        {},
        optional={
            "max_sessions": st.sampled_from([9, 3, "unlimited", "plan"]),
            "max_concurrent": limits,
            "max_nodes": st.sampled_from([3, 1, "unlimited", "plan"]),
            "max_nodes_total": limits,
        },
    ),
)
overdrafts = st.sampled_from([None, "plan", "0", "0.03", "1.5", "40"])
asked_steps = st.sampled_from([Step.OPEN, Step.RESOLVE, Step.CLOSE])
#: Amount, and whether it stops sessions; None: no budget.
budgets = st.tuples(
    st.sampled_from([None, None, "0.3", "1.000001", "4", "4", "9", "30"]),
    st.sampled_from([True, True, False]),
)
