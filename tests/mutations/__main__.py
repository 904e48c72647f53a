"""`python -m tests.mutations [NAME …]`."""

import sys

from rich.console import Console

from tests.mutations.defects import DEFECTS
from tests.mutations.runner import check

wanted = sys.argv[1:]
unknown = sorted(set(wanted) - {defect.name for defect in DEFECTS})
if unknown:
    known = ", ".join(defect.name for defect in DEFECTS)
    sys.exit(f"no such defect: {', '.join(unknown)}; there are {known}")
chosen = [defect for defect in DEFECTS if not wanted or defect.name in wanted]
sys.exit(not check(chosen, Console()))
