"""A provider's list compared with our rows.

compare        decides what to adopt, what to close, and what has ended
lists          the input and the result of a comparison
installations  which installation made a name at a platform
"""
