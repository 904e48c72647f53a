"""What every flow works with.

services         the objects that a flow is given
pipeline         claim, act, settle: once, or as a stream
loop             the event loop of a worker process
slots            how many calls are under way at each provider
claiming         claims due work at each provider, one slot each
batch            work on due rows one by one
crowd            how many threads may wait for one account
cooldowns        providers that this process leaves alone after failures of its own
suspects         slots for pings of sessions that failed last time
canary           checks the network of this machine
metering         counts what pings cost
failures         logs the failure of one row
unreadable_rows  claims around rows that cannot be read
"""
