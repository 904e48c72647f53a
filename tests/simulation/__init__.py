"""Nothing leaks, nothing is lost: the whole system under one hand-moved clock and one seed, and at every point
where a process may die.

evidence       what the providers and a fresh database connection say when everything is at rest
invariants     what must be true of it, whatever went wrong before
"""
