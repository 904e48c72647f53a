"""`python -m orchestrator.simulator`."""

import sys

from orchestrator.simulator.process import main

sys.exit(main())
