"""What commands share.

sending, reading     send a job and wait for its outcome; read the database
waiting, following   wait for a state of a session; follow events
watching             show the same again and again
options, documents   options, and the files that commands read
spans                durations, as people write them
output               the one place that prints: lines, JSON, what tables are made of
tables, fitting      tables; how one fits into a terminal
plain_tables         a table into a file, without rich
plain_values         options that are read without pydantic
times, short_ids     instants and spans; ids short enough for a table
person, known        who is at the terminal; which id people mean, and what a shell completes
collecting           how often the collector of cycles runs
usage, failures      errors of the user, and of everything else; exit codes
"""
