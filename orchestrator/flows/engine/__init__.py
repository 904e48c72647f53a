"""What every flow works with.

services         the objects that a flow is given
provider_steps   claim, act, settle: what a step is; rules of slots and leases; rows that cannot be read
pipeline         runs a step once, or as a stream
loop             the event loop of a worker process
slots            how many calls a process may claim now: what is under way, its pace, cooldowns
batch            work on due rows one by one
crowd            how many threads may wait for one account
canary           checks the network of this machine
leases           upkeep that one worker does at a time, or once in a span
metering         counts what pings cost; saves it about once a second
failures         logs the failure of one row
"""
