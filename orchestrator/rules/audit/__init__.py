"""What must hold of the stored rows.

invariants     the checks, one for each invariant
check_rows     runs them for one row with everything that belongs to it
check_archive  the same for archived sessions
check_costs    compares the costs of a day with the ledger
quota_audit    whether a session was admitted over its quota
wait_limits    how far in the future a next step may lie
"""
