"""Deliberate defects, one at a time: do the tests find them?

kinds            what a defect is: what is broken, where, which suite must find it, and as what
defects          those of the store and of what is written when
misjudgements    those of decisions
finder           finds the place of an edit by names and syntax, and changes the source there
runner           breaks a copy of the tree and runs that suite
"""
