"""What a session costs, and when the funds of an account end.

money   the cost of a session; the end of funds
meters  the integer arithmetic below `money`
groups  bounds for many similar sessions at once
funds   the next step of an account: end of funds, warning, hourly charge
budgets   thresholds of a budget, and what it allows
hard_stops   budgets that stop sessions: what each leaves, and which ends first
costs   what was spent, burns and is expected, added up
focus   the ledger in the columns of FOCUS
"""
