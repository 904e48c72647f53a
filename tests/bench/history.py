"""What an account's past costs: a create and a look at the account, beside 0, 200,000 and 1,000,000 sessions that are
over, and a full audit; on PostgreSQL.

    make bench-history [ARGS="--sizes 0 200000"]
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable

from orchestrator.flows.audit.audit_store import audit_everything, audit_store
from orchestrator.flows.reports.account_view import with_quota
from orchestrator.flows.reports.measure import measure
from tests.history.past import KEEPER, catch_up, give_a_past, open_account
from tests.history.test_retention import DAY, one_batch
from tests.money.stage import SECOND, Stage
from tests.servers import postgres

RUNS = 5


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 200_000, 1_000_000])
    parser.add_argument("--no-audit", action="store_true")
    chosen = parser.parse_args()
    with postgres() as server:
        for size in chosen.sizes:
            with server.fresh_database() as url:
                _measure(Stage(url, plans={KEEPER.name: KEEPER}), size, audits=not chosen.no_audit)
    return 0


def _measure(stage: Stage, size: int, *, audits: bool) -> None:
    stage.reset()
    open_account(stage)
    filling = _timed(lambda: give_a_past(stage, size, reported=size)) if size else 0
    _say(f"{size:>10,} sessions that are over (made in {filling:.0f} s)")
    _say(f"{_median(lambda n: _create_and_close(stage, n)):14.4f} s a create and a close")
    _say(f"{_median(lambda _: _show(stage)):14.4f} s an account show")
    _say(f"{_median(lambda _: measure(stage.services.database, ())):14.4f} s a scrape of the metrics")
    if size:
        stage.jump(41 * DAY)
        _say(f"{_median(lambda _: one_batch(stage)):14.4f} s a batch of retention")
        _say(f"{_median(lambda n: _create_and_close(stage, RUNS + n)):14.4f} s a create and a close after it")
    if audits:
        catch_up(stage)
        _say(f"{_median(lambda _: audit_store(stage.services)):14.4f} s a run of the audit")
        _say(f"{_timed(lambda: _audit(stage)):14.4f} s a full audit")
        _say(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:>14} MB at most")
    stage.close()


def _create_and_close(stage: Stage, n: int) -> None:
    stage.jump(SECOND)
    stage.done("session.create", account_id="acme", model_id="llama", session_id=f"new-{n}")
    stage.done("session.close", session_id=f"new-{n}")


def _show(stage: Stage) -> None:
    with stage.services.database.reading() as tx:
        account = tx.accounts.get("acme")
        assert account is not None
        with_quota(tx, stage.services.config, account, tx.now())


def _audit(stage: Stage) -> None:
    found = audit_everything(stage.services).found
    if found:
        _say(f"{len(found)} violations, such as {found[0]}")


def _median(work: Callable[[int], object], runs: int = RUNS) -> float:
    return statistics.median(_timed(lambda n=n: work(n)) for n in range(runs))  # type: ignore[misc]


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
