"""Brakes, alarms and keys of providers.

brake          which deaths are frozen
credentials    keys that a provider refuses or slows down; their rows at start
alarms         alarms about providers, keys and models; about the installation
local_faults   counts failures of this machine
read_balances  reads the balance of the provider's account
witness        asks a second platform about the sessions of the first
"""
