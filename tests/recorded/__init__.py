"""A record of what is accepted and what is refused: some 3,000 made-up configurations, environments and jobs.

changes   breaks a sensible document at a few places
inputs    makes the inputs, the same ones at each run
outcomes  tries one input, and says what came of it: the accepted values, or where each fault is
record    reads, writes and compares the record in `record.jsonl`

A change that is meant to alter no behaviour leaves the record as it is. `python -m tests.recorded` shows what differs,
`--write` records it, and `--show SECTION NUMBER` prints an input with its outcome."""
