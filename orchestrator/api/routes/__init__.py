"""Every path, by its noun. A route parses, calls one flow or one query, and answers.

session_reads    sessions: lists, one, why, its endpoint, its events
session_changes  sessions: create, start, close, extend, ping, delete; interactions
many             close many by a filter
policy           try other rules on the fleet
accounts         accounts, credits, debits, forecasts
ledgers          an account's ledger, as JSON and as CSV
costs            what was spent, burns and is expected
models           models
providers        providers, checks, brakes
installation     what is unproven, orphans, the queue, alarms, the audit, jobs, reconcile
webhooks         webhooks: change, test, dead letters, replay
events           events, page by page and as a stream
health           whether the process is well
"""
