"""Deliberate defects, one at a time: does the net catch them?

defects   what is broken, where, and which suite must find it
runner    breaks a copy of the tree and runs that suite
"""
