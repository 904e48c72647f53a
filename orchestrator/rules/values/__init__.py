"""Frozen snapshots: the input of rules, and what leaves the store.

sessions, placements, accounts, models, providers, workers   one for each kind of row
archived                                                     what is left of an archived session
terms                                                        policies and plans
zero                                                         no money

Times are aware and in UTC; money is `Decimal` in the named currency; durations are seconds.
"""

from orchestrator.rules.values.accounts import Account
from orchestrator.rules.values.archived import ArchivedSession
from orchestrator.rules.values.models import Model, ModelSource, ModelType
from orchestrator.rules.values.placements import Placement, RefusedBy
from orchestrator.rules.values.providers import Brake, Credential, Meter, Sighting
from orchestrator.rules.values.sessions import Attach, OnQuota, Session, Verdict
from orchestrator.rules.values.terms import Plan, Policy
from orchestrator.rules.values.workers import Worker
from orchestrator.rules.values.zero import ZERO

__all__ = [
    "ZERO",
    "Account",
    "ArchivedSession",
    "Attach",
    "Brake",
    "Credential",
    "Meter",
    "Model",
    "ModelSource",
    "ModelType",
    "OnQuota",
    "Placement",
    "Plan",
    "Policy",
    "RefusedBy",
    "Session",
    "Sighting",
    "Verdict",
    "Worker",
]
