"""Entries of the ledger as rows of FOCUS 1.2.

What is required of a column is copied from the requirements model that the FOCUS working group publishes with its
specification: `model-1.2.0.1.json` in https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec and its validator
(PyPI: focus-validator 2.2.1, which needs Python 3.12)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from orchestrator.rules.billing.focus import COLUMNS, ChargedSession, ChargeEntry, FocusType, focus_row

#: Columns that every FOCUS 1.2 dataset must have: type, and whether a row may have none.
MANDATORY = {
    "BilledCost": ("Decimal", False),
    "BillingAccountId": ("String", False),
    "BillingAccountName": ("String", True),
    "BillingCurrency": ("String", False),
    "BillingPeriodEnd": ("Date/Time", False),
    "BillingPeriodStart": ("Date/Time", False),
    "ChargeCategory": ("String", False),
    "ChargeClass": ("String", True),
    "ChargeDescription": ("String", True),
    "ChargePeriodEnd": ("Date/Time", False),
    "ChargePeriodStart": ("Date/Time", False),
    "ContractedCost": ("Decimal", False),
    "EffectiveCost": ("Decimal", False),
    "InvoiceIssuerName": ("String", False),
    "ListCost": ("Decimal", False),
    "PricingQuantity": ("Decimal", True),
    "PricingUnit": ("String", True),
    "ProviderName": ("String", False),
    "PublisherName": ("String", False),
    "ServiceCategory": ("String", False),
    "ServiceName": ("String", False),
}
#: Columns that it should have, or must have where usage is measured, resources are provisioned, or tags are supported;
#: the validator also looks for the status of discounts.
OTHERS = {
    "ChargeFrequency": ("String", False),
    "CommitmentDiscountStatus": ("String", True),
    "ConsumedQuantity": ("Decimal", True),
    "ConsumedUnit": ("String", True),
    "InvoiceId": ("String", True),
    "PricingCategory": ("String", True),
    "ResourceId": ("String", True),
    "ResourceName": ("String", True),
    "ResourceType": ("String", True),
    "ServiceSubcategory": ("String", False),
    "Tags": ("JSON", True),
}
PUBLISHED = MANDATORY | OTHERS
AT = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
LATER = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = ChargedSession(
    id="s-1",
    name="night-run",
    model_id="llama",
    nodes=2,
    price_per_node_hour=Decimal("1.20"),
    metadata={"team": "red", "cost_centre": 7, "nested": {"no": "tag"}},
    placements=((datetime(2025, 12, 31, tzinfo=UTC), "alpha"), (AT, "beta")),
)
ENTRY = ChargeEntry(
    id=7,
    at=AT,
    account_id="acme",
    session_id="s-1",
    kind="charge",
    amount=Decimal("0.90"),
    currency="USD",
    note="",
)


def row(session: ChargedSession | None = SESSION, **changes: Any) -> Mapping[str, Any]:
    return focus_row(replace(ENTRY, **changes), session)


def test_the_columns_are_those_of_the_specification() -> None:
    own = {name for name in COLUMNS if name.startswith("x_")}
    assert COLUMNS.keys() - own == PUBLISHED.keys()
    for name, (kind, _) in PUBLISHED.items():
        assert COLUMNS[name].value.split(",")[0] == kind, name


@pytest.mark.parametrize("kind", ["charge", "reversal", "write_off"])
@pytest.mark.parametrize("session", [SESSION, None], ids=["with its session", "of a deleted session"])
def test_no_required_value_is_missing(kind: str, session: ChargedSession | None) -> None:
    found = row(session, kind=kind)
    assert list(found) == list(COLUMNS)
    assert [
        name for name, (_, may_be_null) in PUBLISHED.items() if found[name] is None and not may_be_null
    ] == []
    types = {FocusType.COST: Decimal, FocusType.QUANTITY: Decimal, FocusType.TIME: datetime}
    for name, kind_of in COLUMNS.items():
        assert found[name] is None or isinstance(found[name], types.get(kind_of, str)), name
    is_usage = found["ChargeCategory"] == "Usage"
    for name in ("ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "PricingCategory"):
        assert (found[name] is not None) is is_usage, name
    assert found["ChargeFrequency"] == ("Usage-Based" if is_usage else "One-Time")


def test_a_charge_is_usage_in_node_hours() -> None:
    found = row()
    assert found["ChargeCategory"] == "Usage"
    assert {found[name] for name in ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost")} == {
        Decimal("0.90")
    }
    assert found["ConsumedQuantity"] * SESSION.price_per_node_hour == found["BilledCost"]
    assert (found["PricingUnit"], found["PricingCategory"]) == ("Node-Hours", "Standard")
    assert (found["ResourceId"], found["ResourceName"], found["x_ModelId"]) == ("s-1", "night-run", "llama")
    assert json.loads(found["Tags"]) == {"team": "red", "cost_centre": 7}
    assert row(replace(SESSION, metadata={}))["Tags"] is None


@pytest.mark.parametrize(
    ("kind", "category", "cost"),
    [("reversal", "Adjustment", "-0.90"), ("write_off", "Credit", "-0.90")],
)
def test_what_came_back_is_less_than_zero(kind: str, category: str, cost: str) -> None:
    found = row(kind=kind)
    assert (found["ChargeCategory"], found["BilledCost"]) == (category, Decimal(cost))
    assert found["ChargeDescription"]
    assert row(kind=kind, note="a brake held it")["ChargeDescription"] == "a brake held it"


def test_periods_are_the_day_and_the_month_of_the_entry() -> None:
    found = row()
    assert (found["ChargePeriodStart"], found["ChargePeriodEnd"]) == (
        datetime(2025, 12, 31, tzinfo=UTC),
        LATER,
    )
    assert (found["BillingPeriodStart"], found["BillingPeriodEnd"]) == (
        datetime(2025, 12, 1, tzinfo=UTC),
        LATER,
    )


def test_an_entry_pays_for_the_placement_before_it() -> None:
    assert row()["PublisherName"] == "alpha", "beta was written with this very entry"
    assert row(at=LATER)["PublisherName"] == "beta"
    assert row(replace(SESSION, placements=()))["PublisherName"] == "session-orchestrator"
