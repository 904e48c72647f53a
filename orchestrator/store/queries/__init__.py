"""The named queries, in families; a `Transaction` has one object of each.

sessions, placements, accounts, models, ledger     rows by id, and the one method that saves each
pings, claims, due, queues, waits                  what is due, and leases on it
newcomers, usage                                   what a new session depends on; what sessions add up to
charges, groups, debts                             money of running sessions
credentials, refused_keys, brakes, alarms, meters, contacts   providers and their keys
installation, installation_alarms, workers, clock, ahead      this installation, its processes, its clock
inbox, outbox, parked, leases                      jobs, events, parked messages, leases of upkeep
sightings, leftovers                               reconcile, and resources that may still cost money
audit, audit_findings, audit_live, living          the audit, and which rows are live
archive, archive_records, retention                what leaves the live tables
"""
