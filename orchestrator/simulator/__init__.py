"""Upstream platforms that misbehave, over their real wire formats.

A real HTTP server that shares no code with the rest of the package: its report is the provider's own view of a run.

world, sessions, calllog, values   upstreams, sessions, the log of calls, and their types
platform, platforms, completions   one file for each wire format
faults, faultbook                  what can go wrong, and which call it affects
dispatch, wire, delivery           carry a call from its headers to its last byte
control, specs, operate            arrange the world over HTTP or in process
report                             what went well and what did not
server, hosting, process           run it inside a test, on a port, as a process
"""

from orchestrator.simulator.process import run
from orchestrator.simulator.report import Report
from orchestrator.simulator.server import SimulatorServer
from orchestrator.simulator.specs import BadInput
from orchestrator.simulator.values import Call, SimSession
from orchestrator.simulator.world import Simulator

__all__ = ["BadInput", "Call", "Report", "SimSession", "Simulator", "SimulatorServer", "run"]
