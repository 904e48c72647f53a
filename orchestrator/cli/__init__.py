"""The command line: parse, call one flow, format. `main` knows every command by its name.

sessions, session_jobs, session_options, session_tables, explaining, waiting, endpoints, samples   `session …`
accounts, account_tables    `account …`
models                      `model …`
providers, provider_reports, provider_tables, reconciling, leftover_tables   `provider …` and `reconcile`
events, following           `events`
messages                    parked messages
audit, clock, doctor        `audit`, `clock`, `doctor`
upkeep, documents           `migrate`, `apply`, `simulator`, and the files that they read
processes, tree, private_valkey, readiness   `worker`, `scheduler`, `up`
demo                        `demo`
sending, reading            how commands send jobs and read the database
options, output, times, usage, failures      shared: options, formats, times, usage errors, exit codes
"""
