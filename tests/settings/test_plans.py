"""Plans: their nodes, blocks and overdrafts, and the presets of the example."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.rules.billing.money import cost_if_stopped_at
from orchestrator.rules.values import Account
from orchestrator.settings import Configuration, ConfigurationError, load_configuration
from tests.rules.builders import T0, a_running_session

EXAMPLE = Path(__file__).parents[2] / "deploy" / "orchestrator.toml"
SESSION = a_running_session(price_per_node_hour=Decimal("1.20"))


def test_the_example_has_a_plan_that_bills_as_fpt_does() -> None:
    configuration = load_configuration(EXAMPLE, require_secrets=False)
    fpt = configuration.plan("fpt-payg")
    assert fpt is not None
    assert (fpt.billing_block_seconds, fpt.min_funded_seconds, fpt.max_concurrent) == (900, 900, 2)
    [minute, quarter] = [
        replace(SESSION, block_seconds=seconds) for seconds in (60, fpt.billing_block_seconds)
    ]
    for ran, in_minutes, in_quarters in (
        (1, "0.02", "0.30"),
        (900, "0.30", "0.30"),
        (901, "0.32", "0.60"),
        (3600, "1.20", "1.20"),
    ):
        at = T0 + timedelta(seconds=ran)
        assert cost_if_stopped_at(minute, at) == Decimal(in_minutes)
        assert cost_if_stopped_at(quarter, at) == Decimal(in_quarters)


def test_plans_have_nodes_in_total_and_an_overdraft(tmp_path: Path) -> None:
    plan = "[plans.contract]\nmax_nodes_total = 8\noverdraft_limit = '99.50'"
    path = tmp_path / "o.toml"
    path.write_text(plan)
    contract = load_configuration(path).plan("contract")
    assert contract is not None
    assert (contract.max_nodes_total, contract.overdraft_limit) == (8, Decimal("99.50"))


@pytest.mark.parametrize("wrong", ["12.5", "'-1'", "'x'", "true", "'0.0000001'"])
def test_an_overdraft_is_an_exact_amount(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "o.toml"
    path.write_text(f"[plans.contract]\noverdraft_limit = {wrong}")
    with pytest.raises(ConfigurationError, match=r"plans\.contract\.overdraft_limit: must be money"):
        load_configuration(path)


def test_an_account_on_a_plan_that_is_gone_begins_nothing_and_ends_nothing() -> None:
    account = Account(
        id="a", plan="gone", currency="USD", balance=Decimal(0), overdraft_limit=Decimal(5), created_at=T0
    )
    terms = Configuration().terms_of(account).plan
    assert (terms.max_sessions, terms.max_concurrent, terms.overdraft_limit) == (0, 0, Decimal(5))
