"""What the worker does, one verb per file: claim, act, settle.

services         what every flow is given
loop, slots      the worker process's event loop, and how much of it one provider may hold
account_work     one account locked, its due stops applied: every change of its sessions or money
crowd            how many threads of this process may wait for accounts that others hold
placing          the next placement of a session; a placement that is no longer wanted
admission        may this session start now
jobs             one job: inbox, effect, events and outcome in one transaction
*_session, record_interactions, put_*, credit_account
                 the effects of jobs
admit_queued, let_queues_look, open_due, resolve_due, ping_due, warn_due, stop_due, close_due, funds_due, post_charges
                 what wake-ups do
brake, keys, read_balances
                 providers at fault, keys that are refused or told to wait, the platform's own balance
metering         what pings took, whichever step sent them
deliver_events, upkeep, measure, parked
                 the platform's own housekeeping
apply            models and accounts from a file
check_provider, tries, try_ping, remedies
                 what works at one provider, for an operator: creates nothing
views            sessions, accounts and models as other services read them

"What happens when a session dies?" `rules/decide.py` decides it, `ping_due.settle` carries it out.
"""
