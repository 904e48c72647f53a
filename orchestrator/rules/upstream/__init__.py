"""Whether a provider, a key or a network is at fault.

brake         stops deaths where most sessions of a provider or key fail at once
alarms        open alarms about providers, keys and models
network       distinguishes a provider that is down from a worker without network
retries       when opens, resolves and closes are retried
local_faults  errors that happen on the worker's own machine
addresses     which addresses a foreign URL may lead to
"""
