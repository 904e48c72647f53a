"""Combinations of providers that cannot work, refused before anything is opened.

credential_faults  credentials that do not fit the driver
one_key            an exclusive key that is configured twice
timer_faults       timers that contradict each other
witness_faults     a witness that is missing or cannot answer
"""
