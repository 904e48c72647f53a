"""How rows look on a terminal.


session_tables, account_tables, cost_tables, provider_tables, leftover_tables   tables
trial_tables       what a changed policy would do
orders             what lists of sessions can be sorted by
explaining         why a session is in its state, and what will stop it
"""
