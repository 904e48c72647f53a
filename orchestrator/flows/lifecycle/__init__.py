"""One account under its lock: every change of its sessions and money.

account_work    the account, its due stops applied first, its funds computed last
overdue         the due stops of one account
account_ledger  entries in the ledger, and the balance
burning         the running sessions, one by one or in groups
admission       whether a session may start now
places          where it may be served next
transitions     the next placement of a session; the end of one
orphans         rows for resources without a session
force_close     placements that an operator ends
archived        sessions that have left the live tables
"""
