"""Frozen snapshots: the input of rules, and what leaves the store.

sessions, placements, accounts, models, providers, workers   one for each kind of row
leases                                                       the next step of a row, and its lease
used_sessions                                                what of a session its use depends on
doubts                                                       which sessions are in doubt
archived                                                     what is left of an archived session
terms                                                        policies and plans
budgets                                                      what an account may spend in a period
copies                                                       making and copying wide values
minutes                                                      what happened minute by minute
tokens                                                       tokens of the HTTP API, and their scopes
webhooks                                                     receivers of events, and what did not arrive there
amounts                                                      money as it leaves; no money
horizon                                                      the longest time that is reckoned with

Times are aware and in UTC; money is `Decimal` in the named currency; durations are seconds.
"""

from orchestrator.rules.values.accounts import Account
from orchestrator.rules.values.amounts import ZERO
from orchestrator.rules.values.archived import ArchivedSession
from orchestrator.rules.values.budgets import Budget, BudgetPeriod
from orchestrator.rules.values.leases import Due, Lease
from orchestrator.rules.values.minutes import Minute, MinuteSample, PingCounts
from orchestrator.rules.values.models import Model, ModelSource, ModelType
from orchestrator.rules.values.placements import Placement, RefusedBy
from orchestrator.rules.values.providers import Brake, Credential, Meter, ReconcileObservation
from orchestrator.rules.values.sessions import Attach, OnQuota, Session, Verdict
from orchestrator.rules.values.terms import Plan, Policy
from orchestrator.rules.values.tokens import ApiToken, Scope
from orchestrator.rules.values.used_sessions import AnySession, Usable, UsedSession
from orchestrator.rules.values.webhooks import Delivery, Webhook
from orchestrator.rules.values.workers import Worker

__all__ = [
    "ZERO",
    "Account",
    "AnySession",
    "ApiToken",
    "ArchivedSession",
    "Attach",
    "Brake",
    "Budget",
    "BudgetPeriod",
    "Credential",
    "Delivery",
    "Due",
    "Lease",
    "Meter",
    "Minute",
    "MinuteSample",
    "Model",
    "ModelSource",
    "ModelType",
    "OnQuota",
    "PingCounts",
    "Placement",
    "Plan",
    "Policy",
    "ReconcileObservation",
    "RefusedBy",
    "Scope",
    "Session",
    "Usable",
    "UsedSession",
    "Verdict",
    "Webhook",
    "Worker",
]
