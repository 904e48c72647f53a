"""The named queries, in families; a `Transaction` has an object of each that changes or reads rows.

sessions, placements, accounts, models, ledger     rows by id, and the one method that saves each
pings, claims, due, queues, rate_limits            what is due, and leases on it
newcomers, usage                                   what a new session depends on; what sessions add up to
charges, groups, debts                             money of running sessions
costs, charge_entries                              what was charged: by day, and entry by entry
availability                                       which keys and providers may be used now
credentials, refused_keys, brakes, alarms, contacts           providers and their keys
identity, workers, clock, ahead                    ids of this installation and its rows; its processes, its clock
inbox, outbox, parked, leases                      jobs, events, parked messages, leases of upkeep
observations, leftovers                            reconcile, and resources that may still cost money
tokens, pages, recent                              tokens of the HTTP API; lists page by page; the last days
lookups                                            rows by what people type
webhooks                                           receivers of events, and what did not arrive there
recordings                                         batches of interactions
meters                                             what pings cost; what happened minute by minute
audit, audit_costs, audit_findings, audit_live     the audit
living                                             which rows are live
archive, archive_records, retention                what leaves the live tables
"""
