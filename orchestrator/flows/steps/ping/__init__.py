"""Ping due sessions.

ping_due       the flow: claim, send, settle; settles good pings in bulk, and gives back what has not begun
send_pings     claims sessions and pings them; asks for the platform's own status
failed_pings   gives pings back that failed without a network; settles others in bulk
settle_one     settles every other ping under its locks; ends a dead session, moves it, or holds it at a brake
"""
