"""Nothing leaks, nothing is lost: the whole system under one hand-moved clock and one seed, and at every point where a
process may die.

evidence       the providers' logs and a fresh database connection when everything is at rest
invariants     what must be true of it, whatever went wrong before
"""
