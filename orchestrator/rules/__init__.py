"""What this software decides, and nothing else: pure functions over frozen values.

states        the two state machines and the one table of transitions each
values        the frozen snapshots that flows hand to rules
stops         when does a session stop, and why
pings         what pings and reported successes leave behind on a session
decide        what follows from a ping; what a live session needs next
patience      how long is waited at most, and how a crowd that waited goes again
brake         is the provider at fault, or its sessions
quota         may this session start
money         what has a session cost; when do the funds end
meters        the whole-number arithmetic below money
eligibility   may this account use this model
names         what sessions may be called
events        which events a change makes
refusals      why a job was refused
messages      which messages may reach a task
message_head  what may be shown of one that may not
unread_messages  why one may not on which a library failed

Standard library only: no clock, no I/O, no logging. Whoever needs the time is given it.
"""
