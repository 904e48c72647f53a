"""One job of another service: inbox row, effect, events and outcome in one transaction.

perform   runs a job once, however often its message arrives
under_key  does one operation of an operator under a key
preview   says what a create would answer now, and keeps nothing
close_many  says which sessions a close of many hits, and what they cost
lookup    finds the rows that a job names, or refuses it
create_session, start_session, close_session, extend_session, delete_session, ping_session, record_interactions
reads     the jobs that only read
put_account, credit_account, debit_account, budget_account, put_model
          the effects, one each
apply_catalog, catalog_file   models and accounts from a file
"""
