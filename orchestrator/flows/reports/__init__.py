"""Rows as people and other services read them.

views           sessions, accounts and models as plain JSON
explain         why a session is in its state, and what happens next
account_view    what an account uses, and how long its money lasts
leftovers       what may still cost money without proof that it is closed
measure         gauges for the metrics
retention_lags  how far retention is behind
"""
