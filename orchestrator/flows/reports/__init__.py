"""Rows as people and other services read them.

views           sessions, accounts and models as plain JSON
explain         why a session is in its state, and what happens next
account_view    what an account uses, and how long its money lasts
costs           what was spent, burns and is expected, by account, model, provider or day
budgets         an account's budgets, and what is used of them
focus_export    the ledger in the columns of FOCUS, as CSV and Parquet
cloud_events    events as CloudEvents
cursors         where a page begins
endpoint        where a running session is reached
provider_reports   providers with their keys, brakes and alarms
installation_reports   the queue, alarms, and what the audit found
life            a session's life as spans of time
choices         which models an account may choose from
samples         code that calls a session's endpoint
leftovers       what may still cost money without proof that it is closed
overview        the installation on one page
history         the last hour, minute by minute
policy_trial, repriced   what a changed policy, plan or price would do to the fleet
measure         gauges for the metrics
retention_lags  how far retention is behind
"""
