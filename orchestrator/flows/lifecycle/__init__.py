"""One account under its lock: every change of its sessions and money.

account_work    the account under its lock: sessions, money, funds
due_stops       locks an account, or many at once, and applies due stops first
overdue         the due stops of one account
account_ledger  entries in the ledger, and the balance
spending        the running sessions of one account, one by one or in groups; its budgets
admission       whether a session may start now
places          where it may be served next
transitions     placements begin, close and end; a session runs, or stops
failover        where a session continues when its placement ends
orphans         rows for resources without a session
force_close     placements that an operator ends
archived        sessions that have left the live tables
"""
