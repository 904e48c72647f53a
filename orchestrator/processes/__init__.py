"""The long-running processes of one machine.

run              `worker`, `api`, and `up`, which is everything in one tree
run_scheduler    `scheduler`
apart            runs a check in a process of its own
arenas           how much memory the C library keeps for threads
left_out         parts of libraries that no process uses
sharing          memory that the processes of a tree share
tree             forks processes, starts them again when one dies, stops them together
private_valkey   the Valkey of `up`
health           metrics and probes of workers, schedulers and API processes
traces           OpenTelemetry, where it is on
extras           whether the optional packages of `up` and `demo` are installed
readiness        waits for a database that is down, and logs a broker that is down
"""
