"""For operators, and the platform's own upkeep.

provider_check, checks, check_ping, remedies   `provider check`
accept_clock, watch_clock, correct_times, machine_clocks   clocks that jump
archive_sessions, delete_ended, housekeeping   retention
write_minutes    what happened minute by minute
tokens           tokens of the HTTP API
try_out          asks a running session what a person asks
deliver_events   delivers events from the outbox
webhooks, deliver_webhooks, webhook_sender   receivers of events, each with its own place and tries
parked_messages  messages that cannot be carried out
"""
