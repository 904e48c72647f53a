"""Every page, by its noun. A view asks the API, and shows what it answers.

sign_in          sign in and out
overview         the installation at a glance
sessions         the list of sessions, and one session with its life
session_actions  what is done to one session, each after what it hits is shown
many             close many, with their number typed
new_session      create a session step by step, with what admission would answer
endpoints        code that calls a session's endpoint, and a small chat with it
accounts         accounts: money, quota, budgets, ledger
budgets          set and remove an account's budgets
costs            what was spent, burns and is expected
providers        providers: keys, brakes, checks
installation     what is unproven, the queue, jobs, events, the audit
what_if          what other rules would do to the fleet
webhooks         webhooks: what did not arrive there, test, replay, changes
live             the stream by which pages load their numbers again
"""

from types import ModuleType

from orchestrator.console.views import (
    accounts,
    budgets,
    costs,
    endpoints,
    installation,
    live,
    many,
    new_session,
    overview,
    providers,
    session_actions,
    sessions,
    sign_in,
    webhooks,
    what_if,
)

NOUNS: tuple[ModuleType, ...] = (
    sign_in,
    overview,
    many,
    new_session,
    endpoints,
    sessions,
    session_actions,
    accounts,
    budgets,
    costs,
    providers,
    installation,
    what_if,
    webhooks,
    live,
)
