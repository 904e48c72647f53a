"""For operators, and the platform's own upkeep.

provider_check, checks, check_ping, remedies   `provider check`
accept_clock, watch_clock, correct_times, machine_clocks   clocks that jump
archive_sessions, delete_ended, housekeeping   retention
deliver_events   delivers events from the outbox
parked_messages  messages that cannot be carried out
"""
