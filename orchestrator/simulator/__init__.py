"""Upstream platforms with a bad temper, over their real wire formats.

A real HTTP server that shares no code with the rest of the package: what it says about a run is the
provider's own view. `world` keeps upstreams, sessions, faults and the log of calls; `platforms` holds one
file per wire format; `faults` everything that can go wrong; `dispatch` and `delivery` carry a call from its
headers to its last byte; `control` and `operate` arrange the world; `server` runs it inside a test and
`process` on its own.
"""

from orchestrator.simulator.process import run
from orchestrator.simulator.report import Report
from orchestrator.simulator.server import SimulatorServer
from orchestrator.simulator.specs import BadInput
from orchestrator.simulator.values import Call, SimSession
from orchestrator.simulator.world import Simulator

__all__ = ["BadInput", "Call", "Report", "SimSession", "Simulator", "SimulatorServer", "run"]
