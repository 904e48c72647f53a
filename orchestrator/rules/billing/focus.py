"""The ledger as FOCUS 1.2 has it (https://focus.finops.org/focus-specification/v1-2/): a row for each entry that says
what a session has cost. Columns beyond the specification begin with `x_`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from orchestrator.rules.values import ZERO

#: Names the platform where it is asked who sells and who invoices.
ISSUER = "session-orchestrator"
#: Node-hours have this many places: enough for any price at which a millionth of the currency is charged.
QUANTITY_PLACES = 9
_DAY = timedelta(days=1)
_UNIT = "Node-Hours"


class FocusType(StrEnum):
    """The data types of FOCUS."""

    STRING = "String"
    COST = "Decimal"
    QUANTITY = "Decimal, of a quantity"
    TIME = "Date/Time"
    KEYS = "JSON"


#: Each column and its type, in the order of the export.
COLUMNS: Mapping[str, FocusType] = MappingProxyType(
    {
        "BilledCost": FocusType.COST,
        "BillingAccountId": FocusType.STRING,
        "BillingAccountName": FocusType.STRING,
        "BillingCurrency": FocusType.STRING,
        "BillingPeriodEnd": FocusType.TIME,
        "BillingPeriodStart": FocusType.TIME,
        "ChargeCategory": FocusType.STRING,
        "ChargeClass": FocusType.STRING,
        "ChargeDescription": FocusType.STRING,
        "ChargeFrequency": FocusType.STRING,
        "ChargePeriodEnd": FocusType.TIME,
        "ChargePeriodStart": FocusType.TIME,
        "CommitmentDiscountStatus": FocusType.STRING,
        "ConsumedQuantity": FocusType.QUANTITY,
        "ConsumedUnit": FocusType.STRING,
        "ContractedCost": FocusType.COST,
        "EffectiveCost": FocusType.COST,
        "InvoiceId": FocusType.STRING,
        "InvoiceIssuerName": FocusType.STRING,
        "ListCost": FocusType.COST,
        "PricingCategory": FocusType.STRING,
        "PricingQuantity": FocusType.QUANTITY,
        "PricingUnit": FocusType.STRING,
        "ProviderName": FocusType.STRING,
        "PublisherName": FocusType.STRING,
        "ResourceId": FocusType.STRING,
        "ResourceName": FocusType.STRING,
        "ResourceType": FocusType.STRING,
        "ServiceCategory": FocusType.STRING,
        "ServiceName": FocusType.STRING,
        "ServiceSubcategory": FocusType.STRING,
        "Tags": FocusType.KEYS,
        "x_LedgerEntryId": FocusType.STRING,
        "x_LedgerKind": FocusType.STRING,
        "x_ModelId": FocusType.STRING,
        "x_Nodes": FocusType.QUANTITY,
        "x_PricePerNodeHour": FocusType.COST,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargedSession:
    """What the export says about a session, live or archived."""

    id: str
    name: str
    model_id: str
    nodes: int
    price_per_node_hour: Decimal
    metadata: Mapping[str, Any]
    placements: tuple[tuple[datetime, str], ...]
    """When each was written, and its provider; oldest first."""

    def provider_at(self, at: datetime) -> str | None:
        """Return the provider that an entry of then pays for: a placement that is written with an entry comes after
        it."""
        before = [provider for written, provider in self.placements if written < at]
        return before[-1] if before else None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChargeEntry:
    """An entry of the ledger that says what a session has cost."""

    id: int
    at: datetime
    account_id: str
    session_id: str
    kind: str
    amount: Decimal
    currency: str
    note: str

    @property
    def cost(self) -> Decimal:
        """What the account pays for it: less than zero where something was given back or written off."""
        return self.amount if self.kind == "charge" else -self.amount


def focus_row(entry: ChargeEntry, session: ChargedSession | None) -> Mapping[str, Any]:
    """Return the entry's row, in the order of `COLUMNS`. `session`: None if nothing is left of it."""
    row = dict.fromkeys(COLUMNS) | _of_entry(entry) | _of_category(entry, session)
    if session is None:
        return row
    return row | {
        "PublisherName": session.provider_at(entry.at) or ISSUER,
        "ResourceName": session.name,
        "Tags": _tags(session.metadata),
        "x_ModelId": session.model_id,
        "x_Nodes": Decimal(session.nodes),
        "x_PricePerNodeHour": session.price_per_node_hour,
    }


def _of_entry(entry: ChargeEntry) -> dict[str, Any]:
    at = entry.at.astimezone(UTC)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    costs = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost")
    return dict.fromkeys(costs, entry.cost) | {
        "BillingAccountId": entry.account_id,
        "BillingAccountName": entry.account_id,
        "BillingCurrency": entry.currency,
        "BillingPeriodEnd": (month + 31 * _DAY).replace(day=1),
        "BillingPeriodStart": month,
        "ChargePeriodEnd": day + _DAY,
        "ChargePeriodStart": day,
        "InvoiceIssuerName": ISSUER,
        "ProviderName": ISSUER,
        "PublisherName": ISSUER,
        "ResourceId": entry.session_id,
        "ResourceType": "Model session",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Model sessions",
        "ServiceSubcategory": "Generative AI",
        "x_LedgerEntryId": str(entry.id),
        "x_LedgerKind": entry.kind,
    }


def _of_category(entry: ChargeEntry, session: ChargedSession | None) -> dict[str, Any]:
    """Return what a charge was for: node-hours, where the price is known; else an adjustment or a credit."""
    if entry.kind != "charge" or session is None or session.price_per_node_hour <= ZERO:
        return {
            "ChargeCategory": "Credit" if entry.kind == "write_off" else "Adjustment",
            "ChargeDescription": entry.note or _WHAT.get(entry.kind, "a charge of a session that is deleted"),
            "ChargeFrequency": "One-Time",
        }
    hours = (entry.amount / session.price_per_node_hour).quantize(Decimal(1).scaleb(-QUANTITY_PLACES))
    return {
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{session.model_id} on {session.nodes} node(s), charged by the hour",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": hours,
        "ConsumedUnit": _UNIT,
        "PricingCategory": "Standard",
        "PricingQuantity": hours,
        "PricingUnit": _UNIT,
    }


_WHAT = {"write_off": "more than the account could pay, written off", "reversal": "given back"}


def _tags(metadata: Mapping[str, Any]) -> str | None:
    """Return the metadata as FOCUS has tags: keys with texts, numbers and truth values only."""
    plain = {key: value for key, value in metadata.items() if isinstance(value, str | int | float)}
    return json.dumps(plain, sort_keys=True, ensure_ascii=False) if plain else None
