"""Ping due sessions.

ping_due         the flow: claim, send, settle; gives back what has not begun
send_pings       claims sessions and pings them; asks for the platform's own status
settle_failures  settles failed pings in bulk
note_pings       what pings say about keys, accounts and costs
network          gives pings back that failed without a network
deaths           ends a dead session, moves it, or holds it at a brake
"""
