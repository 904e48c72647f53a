"""The Morpheus gateway: one active session for each API key.

driver   the driver
slot     the three calls of a key's session
options  its configuration
"""
