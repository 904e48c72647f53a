"""Decisions: pure functions over frozen values. Standard library only: no clock, no I/O, no logging.

values        the snapshots of sessions, placements, accounts and the rest
states        the state machines of sessions and placements, one table of transitions each
events        reads the events of a change off the difference
warnings      when users are warned of an end to come
refusals      why a job was refused
where, close_plans   which sessions a close of many is about; the plan that a dry run answers with
durations     durations as people write them
backoff       how long anything waits before it is tried again
text          which characters text and names may contain, and how they are shown
sessions      what a session does next: pings, doubts, stops
billing       what a session costs, and when the funds end
admission     whether a session may start, and where
upstream      whether a provider, a key or a network is at fault; what answers about placements mean
reconcile     a provider's list compared with our rows
audit         what must hold of the stored rows
trial         what other rules would do to the fleet
installation  clocks, processes, messages, retention
webhooks      which events a webhook receives, and when a failed delivery is tried again
"""
