"""The protocol between flows and drivers.

driver     the protocol `Driver`, and what it is given and returns
card       what a platform can do
abilities  optional abilities: balance, key check, lists
answers    the body and headers of an answer
questions  what a person asks an endpoint, and what comes back
errors     how a call fails, named by what the caller can do next
faults     from an error body to a verdict
secrets    how a secret enters a request and stays out of messages
"""
