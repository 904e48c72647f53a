"""The demo: the embedded platform and simulated providers, played through the jobs that other services use.

play      sets the stage, lets every scene play at once, sums up; `run_demo` is what the command calls
scenes    who plays what, and what has to happen; `refusals` and `ending` hold the rest of it
cast      providers, keys, models and prices of the play
stage     the directory and the processes, which end in every case; `files` is what is written for them
actor     one account's user, as another service plays it; `chat` is its OpenAI client
watch     what the events report; `books` reads the database; `upstream` asks the simulator
screen    a live table, plain lines, or nothing; `tables` draws
checks    what had to happen beside what happened
"""
