"""One account's user, which acts as another service does: it sends jobs by name, reads events, and uses its
endpoints."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cli.demo import cast
from orchestrator.cli.demo.books import StoreView
from orchestrator.cli.demo.chat import complete
from orchestrator.cli.demo.checks import Deadline, Expectation, Late, Seen
from orchestrator.cli.demo.upstream import SimulatorClient
from orchestrator.cli.demo.watch import Watch
from orchestrator.client import JobClient

#: Seconds of one look for an outcome, and that one chat completion may take.
_LOOK, _CHAT = 1.0, 10.0


class DemoJobRefused(Exception):
    """A job was refused, and the scene cannot continue without it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """The objects that every actor may use."""

    jobs: JobClient
    watch: Watch
    books: StoreView
    upstream: SimulatorClient
    deadline: Deadline


class Actor:
    """A user of one account. It acts, checks the results, and records them beside what was expected."""

    def __init__(self, account: str, world: World) -> None:
        self.account = account
        self.world = world
        self.checks: list[Expectation] = []
        self._created: dict[str, dict[str, Any]] = {}

    # jobs

    def job(self, name: str, /, **kwargs: Any) -> dict[str, Any]:
        """Return the outcome of `orchestrator.{name}`."""
        task_id = self.world.jobs.send(f"orchestrator.{name}", kwargs)
        return self._outcome(name, task_id)

    def done(self, name: str, /, **kwargs: Any) -> dict[str, Any]:
        """Return the result of a job that must succeed."""
        return _result(name, self.job(name, **kwargs))

    def done_all(self, name: str, batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Do the same for many jobs at once: send all, then wait for all."""
        task_ids = [self.world.jobs.send(f"orchestrator.{name}", kwargs) for kwargs in batch]
        return [_result(name, self._outcome(name, task_id)) for task_id in task_ids]

    def open_account(self, credit: str) -> None:
        """Open an account on the plan `payg`, with this balance."""
        self.done("account.put", account_id=self.account, plan="payg", currency=cast.CURRENCY)
        opening = {"amount": credit, "currency": cast.CURRENCY, "key": "opening"}
        self.done("account.credit", account_id=self.account, **opening)

    def request(self, name: str, model: str, **more: Any) -> dict[str, Any]:
        """Return the arguments of a create."""
        session_id = f"{self.account}-{name}"
        return {"account_id": self.account, "session_id": session_id, "name": name, "model_id": model} | more

    def create(self, name: str, model: str, **more: Any) -> str:
        """Create a session; return its id."""
        request = self.request(name, model, **more)
        created = self.done("session.create", **request)
        self._created[created["id"]] = request
        return str(created["id"])

    def look(self, session_id: str) -> dict[str, Any]:
        """Return the session as it is now: repeating the same create answers with it and changes nothing."""
        return self.done("session.create", **self._created[session_id])

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the play's deadline."""
        self.world.deadline.pause(seconds)

    # expectations

    def expect(self, expected: str, look: Callable[[], Seen]) -> None:
        """Record what is seen. A result that comes too late is recorded as late, and the scene continues."""
        try:
            seen = look()
        except Late as late:
            seen = Seen(str(late), ok=False)
        self.note(expected, seen)

    def note(self, expected: str, seen: Seen) -> None:
        self.checks.append(Expectation(self.account, expected, seen.text, seen.ok))

    def expect_states(self, session_id: str, *states: str, reason: str | None = None) -> None:
        """Expect events of exactly these states, in this order."""
        name = self._created[session_id]["name"]
        self.expect(f"{name}: {_path(states, reason)}", lambda: self._seen_states(session_id, states, reason))

    def expect_refusal(self, what: str, code: str, request: dict[str, Any]) -> None:
        """Expect a create to be refused with this code."""
        self.expect(f"{what} is refused: {code}", lambda: _seen_refusal(self._create(request), code))

    def expect_answer(self, session_id: str) -> None:
        """Expect a chat completion at the endpoint that the session hands out."""
        name = self._created[session_id]["name"]
        self.expect(f"{name}: answers a chat completion", lambda: self._seen_answer(session_id))

    def expect_ping(self, session_id: str) -> None:
        """Expect pings by the platform, the last of them good."""
        name = self._created[session_id]["name"]
        self.expect(f"{name}: is pinged while it runs: ALIVE", lambda: _seen_ping(self.look(session_id)))

    # inside

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.job("session.create", **request)

    def _outcome(self, name: str, task_id: str) -> dict[str, Any]:
        while (left := self.world.deadline.left()) > 0:
            outcome = self.world.jobs.wait(task_id, min(_LOOK, left))
            if outcome is not None:
                return outcome
        raise Late(f"{name} had no outcome in time")

    def _seen_states(self, session_id: str, states: Sequence[str], reason: str | None) -> Seen:
        story = self.world.watch.wait(
            session_id, lambda story: story.is_over or len(story.states) >= len(states), self.world.deadline
        )
        seen = story.states if story.is_over else story.states[: len(states)]
        if reason is None:
            seen = seen[: len(states)]
        right = tuple(seen) == tuple(states) and (reason is None or story.reason == reason)
        why = story.reason if len(seen) == len(story.states) else None
        return Seen(_path(seen, why) or "no event of it came", right)

    def _seen_answer(self, session_id: str) -> Seen:
        from openai import OpenAIError

        now = self.look(session_id)
        endpoint, text = now["endpoint"], f"hello from {self.account}"
        if endpoint is None:
            return Seen(f"no endpoint: it is {now['state']}", ok=False)
        key, timeout = (
            cast.secret(endpoint["secret_ref"]) or "",
            max(1.0, min(_CHAT, self.world.deadline.left())),
        )
        try:
            answer = complete(endpoint["url"], key, endpoint["model"], text, timeout=timeout)
        except OpenAIError as error:
            return Seen(f"no answer: {type(error).__name__}", ok=False)
        return Seen(f'"{answer}" from {endpoint["model"]} at {now["provider"]}', text in answer)


def _result(name: str, outcome: dict[str, Any]) -> dict[str, Any]:
    if not outcome["ok"]:
        raise DemoJobRefused(f"{name} was refused: {_refusal(outcome)}")
    result: dict[str, Any] = outcome["result"]
    return result


def _seen_refusal(outcome: dict[str, Any], code: str) -> Seen:
    if outcome["ok"]:
        return Seen(f"accepted: it is {outcome['result']['state']}", ok=False)
    return Seen(f"refused: {_refusal(outcome)}", outcome["error"]["code"] == code)


def _seen_ping(session: dict[str, Any]) -> Seen:
    ping = session["last_ping"] or {}
    return Seen(f"{ping.get('verdict')} after {ping.get('latency_ms')} ms", ping.get("verdict") == "ALIVE")


def _refusal(outcome: dict[str, Any]) -> str:
    return str(outcome["error"]["code"])


def _path(states: Sequence[str], reason: str | None) -> str:
    return " → ".join(states) + (f" ({reason})" if reason else "")
