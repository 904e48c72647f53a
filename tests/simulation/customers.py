"""Other services: random jobs, most of them sensible."""

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.universe import Universe

#: Account → plan and opening credit.
ACCOUNTS: Mapping[str, tuple[str, str]] = {
    "acme": ("contract", "5000"),
    "bob": ("payg", "40"),
    "cara": ("payg", "1.5"),
}
#: The account with budgets that stop its sessions: with so much of all sessions, and these amounts by period.
BUDGETED, OF_ALL = "dora", 0.12
BUDGETS: Mapping[str, str] = {"day": "6", "month": "9"}
PRICES = ("1.20", "0.000001", "3.333333", "21.7")


class Customers:
    """Clients that know the outcomes of their jobs, and nothing else."""

    def __init__(self, universe: Universe, rng: random.Random) -> None:
        self._universe = universe
        self._rng = rng
        self._known: list[str] = []
        self._models: list[str] = []
        self.active = False

    async def arrive(self) -> None:
        """Put accounts, credits and models."""
        world = self._universe
        for account_id, (plan, credit) in ACCOUNTS.items():
            await world.open_account(account_id, plan, credit)
        await world.open_account(BUDGETED, "contract", "5000")
        for period, amount in BUDGETS.items():
            budget = {"account_id": BUDGETED, "period": period, "amount": amount, "currency": "USD"}
            await world.done("account.budget", **budget, hard_stop=True)
        names = sorted(world.platforms)
        served = {name: [name] for name in names} | {"pair": names[:2], "roam": names[::-1]}
        for model_id, providers in served.items():
            await self._put_model(model_id, providers)
        self._models = sorted(served)

    async def live(self, every: float) -> None:
        """Send a job every this many seconds on average, for ever, without waiting for the outcome of another."""
        while True:
            await asyncio.sleep(self._rng.expovariate(1 / every))
            if self.active:
                self._universe.spawn(self._one_job(), "customer")

    async def go_home(self) -> None:
        """Close everything."""
        for session_id in self._known:
            await self._universe.job("session.close", session_id=session_id)

    async def _put_model(self, model_id: str, providers: list[str]) -> None:
        limits = self._rng.choice(({}, {}, {"max_duration_seconds": 1800}, {"max_interactions": 12}))
        price = self._rng.choice(PRICES)
        await self._universe.put_model(model_id, providers, price_per_node_hour=price, **limits)

    async def _one_job(self) -> None:
        known = self._known
        kinds = {
            "create": 30,
            "interactions": 22,
            "close": 9,
            "extend": 8,
            "ping": 4,
            "credit": 4,
            "delete": 8,
            "start": 3,
        }
        kind = self._rng.choices(list(kinds), list(kinds.values()))[0]
        if kind == "create" or not known:
            await self._create()
        elif kind == "credit":
            account_id = self._rng.choice(sorted(ACCOUNTS))
            given = {
                "amount": self._rng.choice(("0.5", "7")),
                "currency": "USD",
                "key": f"k{self._rng.random()}",
            }
            await self._universe.job("account.credit", account_id=account_id, **given)
        elif kind == "interactions":
            items = [self._interactions() for _ in range(self._rng.randint(1, 4))]
            await self._universe.job("session.record_interactions", batch=items)
        else:
            session_id = self._rng.choice(known if kind == "delete" else known[-12:])
            await self._universe.job(f"session.{kind}", session_id=session_id, **self._more(kind))

    def _more(self, kind: str) -> Mapping[str, Any]:
        if kind == "extend":
            name, value = self._rng.choice(
                (("max_duration_seconds", 5400), ("max_interactions", 60), ("max_cost", "9"))
            )
            return {name: value}
        return {"reason": self._rng.choice(("user", "operator"))} if kind == "close" else {}

    async def _use_to_the_last(self, session_id: str) -> None:
        """Use a session shortly before its idle time runs out, a few times, and report each use about then."""
        for _ in range(40):  # it has to run first
            if self._universe.idle_end(session_id) is not None:
                break
            await asyncio.sleep(15)
        for _ in range(3):
            used = await self._shortly_before_it_is_idle(session_id)
            if used is None:
                return
            await asyncio.sleep(self._rng.uniform(0, 45))
            await self._report_use(session_id, used)

    async def _shortly_before_it_is_idle(self, session_id: str) -> datetime | None:
        """Wait until then; return None if it ends before."""
        world, early = self._universe, timedelta(seconds=self._rng.uniform(0.5, 20))
        while self.active and (idle_end := world.idle_end(session_id)) is not None:
            left = (idle_end - early - world.store_now()).total_seconds()
            if left <= 0:
                return world.store_now()
            await asyncio.sleep(min(left, 30))
        return None

    async def _report_use(self, session_id: str, used: datetime) -> None:
        world, wrong = self._universe, self._universe.store_is_ahead
        end = world.idle_end(session_id)
        item = {"session_id": session_id, "count": 1, "at": used.isoformat()}
        outcome = await world.job("session.record_interactions", batch=[item])
        in_time = end is not None and used < end and not (wrong or world.store_is_ahead)
        if in_time and outcome["ok"] and outcome["result"]["accepted"]:
            world.uses.append((session_id, used, world.loop.now()))

    def _interactions(self) -> Mapping[str, Any]:
        rng = self._rng
        return {
            "session_id": rng.choice(self._known[-12:]),
            "count": rng.randint(1, 4),
            "ok": rng.random() < 0.8,
        }

    async def _create(self) -> None:
        rng = self._rng
        stop: dict[str, Any] = {"max_duration_seconds": rng.choice((120, 600, 1800, 3600))}
        for name, values in (
            ("idle_seconds", (90, 300, 900)),
            ("max_interactions", (3, 20)),
            ("max_cost", ("0.05", "2")),
        ):
            if rng.random() < 0.25:
                stop[name] = rng.choice(values)
        kwargs: dict[str, Any] = {
            "account_id": BUDGETED if rng.random() < OF_ALL else rng.choice(sorted(ACCOUNTS)),
            "model_id": rng.choice(self._models),
            "stop": stop,
            "failover": rng.random() < 0.5,
            "on_quota": rng.choice(("reject", "queue")),
            "start": rng.random() < 0.93,
        }
        if rng.random() < 0.5:
            kwargs["session_id"] = f"session-{rng.getrandbits(40):010x}"
        outcome = await self._universe.job("session.create", **kwargs)
        if outcome["ok"]:
            self._known.append(outcome["result"]["id"])
            if "idle_seconds" in stop:
                self._universe.spawn(self._use_to_the_last(outcome["result"]["id"]), "late reports")
