"""Every table fits into 80 columns, whatever is in it, and a row has one line or two."""

import re
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from orchestrator.cli.shared.fitting import ALL_LINES, Column, Fitted, Forms, cut, fitted
from orchestrator.cli.shared.output import show
from orchestrator.cli.shared.short_ids import id_cells
from orchestrator.cli.shared.tables import table
from orchestrator.cli.tree import app
from orchestrator.flows.operations.parked_messages import park
from orchestrator.rules.installation.messages import ParkedMessage
from tests.cli.conftest import Cli
from tests.cli.test_closed_pipes import ARGUMENTS, commands
from tests.world import MINUTE, START, World

COLUMNS = 80
LONG = "a-very-long-name-of-a-customer-department-in-which-nobody-ever-abbreviates-anything"
ACCOUNT, SESSION = LONG[:60], f"nightly-evaluation-of-{LONG}"[:64]
#: Reports that are read to their end: what is wrong, and what to do.
READ_TO_THE_END = {"provider check", "audit", "session explain", "session show"}
#: It prints sample code, which is copied.
CODE = ["session", "endpoint"]
#: It waits for a broker; its table is that of `audit`.
WAITS = ["doctor"]
IDS = {"session_id": (SESSION,), "account_id": (ACCOUNT,), "account": ("--account", ACCOUNT)}


@pytest.fixture
def crowded(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with long names, several sessions, closes without proof, parked messages, tokens and webhooks."""
    world.open_account(ACCOUNT)
    world.put_model(LONG[:64], {"alpha": "llama-3", "beta": "llama-3"})
    world.run_session(LONG[:64], account_id=ACCOUNT, session_id=SESSION, name=LONG)
    lost = world.run_session("moral", account_id=ACCOUNT)
    world.create_session(start=False)
    world.server.fault("close_fails", operation="close")
    world.done("session.close", session_id=lost, reason="operator", detail=f"because {LONG} " * 2)
    world.done("account.put", account_id=ACCOUNT, plan="contract", currency="USD")
    why = {"reason": f"a mistake, {LONG}", "author": LONG}
    world.done("account.debit", account_id=ACCOUNT, amount="1.5", currency="USD", key="k", **why)
    world.pass_time(11 * MINUTE)
    world.services.database.transact(
        lambda tx: tx.credentials.pause("alpha", "env:ALPHA", f"refused: {LONG} " * 3, world.clock.now)
    )
    world.services.database.transact(lambda tx: park(tx, [_parked(n) for n in range(3)]))
    return world


def _parked(n: int) -> ParkedMessage:
    return ParkedMessage(
        id=f"{n}0000000-1111-4111-8111-111111111111",
        parked_at=START,
        queue="orchestrator.jobs",
        reason=f"the body is not text: {LONG}",
        task="orchestrator.session.record_interactions",
        task_id=LONG,
        size=10,
        head="{account_id: text, model_id: text, stop: {max_duration_seconds: number, idle_seconds: number}}",
        kept_as=None,
    )


def table_commands() -> Iterator[list[str]]:
    """Yield every command that shows a table: those that take --wide."""
    for words in commands(ARGUMENTS | IDS):
        if (
            not {"--json", "--help", "--follow"} & {*words}
            and words[:2] != CODE
            and words != WAITS
            and _takes(words, "--wide")
        ):
            yield words


def _takes(words: Sequence[str], option: str) -> bool:
    node: Any = typer.main.get_command(app)
    for word in words:
        below = getattr(node, "commands", {})
        node = below.get(word, node)
    return any(option in one.opts for one in node.params)


def test_every_table_fits_into_80_columns(cli: Cli, crowded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put = ("webhook", "put", LONG[:64], "--secret", "env:HOOK", "--event", "orchestrator.session.*")
    assert cli(*put, "--url", f"https://{LONG[:50]}.example/{LONG}", "--account", ACCOUNT).code == 0
    assert cli("token", "create", "--scope", "read", "--name", LONG, "--account", ACCOUNT).code == 0
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    wanted = [*table_commands(), ["session", "list", "--unproven"], ["events", "--limit", "1000"]]
    assert {"session list", "account forecast", "provider list", "token list"} <= {
        " ".join(w[:2]) for w in wanted
    }
    for words in wanted:
        out = cli(*words).out
        assert [line for line in out.splitlines() if cell_len(line) > COLUMNS] == [], words
        if " ".join(words[:2]) not in READ_TO_THE_END and words[0] not in READ_TO_THE_END:
            assert max(lines_of_rows(out), default=1) <= 2, f"{words}\n{out}"
    _a_narrow_table_names_what_it_leaves_out(cli, monkeypatch)


def _a_narrow_table_names_what_it_leaves_out(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = cli("session", "list").out
    assert LONG not in narrow
    assert re.search(r"left out: .*name.*\(--wide shows all\)", " ".join(narrow.split()))
    assert LONG in cli("session", "list", "--wide").out
    assert LONG not in cli("session", "list").out, "it holds for one command"
    monkeypatch.delenv("COLUMNS")
    assert LONG in cli("session", "list").out, "what reads a pipe finds all"


def lines_of_rows(out: str) -> Iterator[int]:
    """Yield the number of lines of each row. A line with an empty first column belongs to the row above."""
    for body in re.findall(r"^ ─+ *\n((?:.*\S.*\n)*)", out, re.MULTILINE):
        lines = 0
        for line in body.splitlines():
            if line.startswith("  ") or not lines:
                lines += 1
            else:
                yield lines
                lines = 1
        yield lines


def test_generated_ids_are_shortened_to_what_tells_them_apart() -> None:
    ids = [
        "0c8b6a3e-2f8e-4a57-9d3f-6a4a1f3f0001",
        "0c8b6a3e-2f8e-4a57-9d3f-6a4a1f3f0002",
        "ffffffff-2f8e-4a57-9d3f-6a4a1f3f0001",
        "nightly-1",
    ]
    cells = id_cells([*ids, None, ""])
    assert [cells[one].texts[-1] for one in ids] == [ids[0], ids[1], "ffffffff", "nightly-1"]
    assert cells[None].texts == cells[""].texts == [""]
    assert [cells[one].texts[0] for one in ids] == ids


def _fit(columns: Sequence[Column], rows: Sequence[Sequence[Any]], width: int) -> Any:
    return fitted(columns, [[[Text(t) for t in cell.texts] for cell in row] for row in rows], width)


def test_a_table_first_shortens_then_leaves_out_then_crops() -> None:
    columns = (Column("id", whole=True), Column("why", rank=1), Column("model"))
    row = [Forms(["0123456789", "0123"]), Forms(["w" * 10]), Forms(["m" * 10, "m" * 8])]
    assert _fit(columns, [row], 36).forms == [0, 0, 0]
    assert _fit(columns, [row], 35).forms == [1, 0, 0], "the id first"
    shorter = _fit(columns, [row], 29)
    assert (shorter.forms, shorter.shown) == ([1, 0, 1], [0, 1, 2])
    assert _fit(columns, [row], 27).shown == [0, 2]
    cropped = _fit(columns, [row], 14)
    assert [cropped.widths[n] for n in cropped.shown] == [4, 6]


def test_a_column_without_any_value_is_left_out_first_and_silently(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = (Column("id", whole=True), Column("empty"), Column("rest"))
    monkeypatch.setenv("COLUMNS", "20")
    show(table(columns, [("0123456789", "", "full")]))
    out = capsys.readouterr().out
    assert "full" in out
    assert "empty" not in out
    assert "left out" not in out


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("short", 1, "short"),
        ("one line that is long", 1, "one line…"),
        ("two lines that are short", 2, "two lines\nthat are…"),
        ("two lines", 2, "two lines"),
    ],
)
def test_a_cell_is_cut_after_its_last_line(text: str, most: int, shown: str) -> None:
    assert cut(Text(text), 10, most, Console(width=80)).plain == shown


def test_headings_alone_make_a_table_whose_first_column_stays_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    show(table(("id", "why"), [("0123456789", "reasons " * 20)]), "text")
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert sum("reasons" in line for line in lines) > 2, "it folds to its end"
    assert ALL_LINES > 100


@pytest.mark.parametrize(
    "listed",
    [
        ["webhook", "list"],
        ["webhook", "list", "--dead"],
        ["session", "list", "--unproven"],
    ],
)
def test_a_list_without_rows_says_so(cli: Cli, world: World, listed: list[str]) -> None:
    assert cli(*listed).out == "none\n"


def test_a_part_without_rows_names_what_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    show(table(("name", "why"), [], title="brakes"))
    assert capsys.readouterr().out == "\nbrakes: none\n"


#: Of the last one only rich knows the width.
LETTERS = st.text("ab c-…✓·", max_size=9) | st.just("漢字")


@given(
    columns=st.lists(st.sampled_from(["id", "stops", "", "a longer one"]), min_size=1, max_size=5),
    data=st.data(),
    width=st.sampled_from([20, 40, 80, 400]),
)
def test_a_table_into_a_file_is_the_one_that_rich_draws(
    columns: list[str], data: st.DataObject, width: int
) -> None:
    cell = LETTERS | LETTERS.map(lambda text: Forms((text, "a"), "red"))
    row = st.lists(cell, min_size=len(columns), max_size=len(columns))
    fit = Fitted(columns, data.draw(st.lists(row, max_size=4)))
    lines = fit.lines(width)
    assert lines is None or "\n".join(lines) + "\n" == _drawn(fit, width)


def _drawn(fit: Fitted, width: int) -> str:
    drawn = StringIO()
    Console(file=drawn, width=width, markup=False, highlight=False, emoji=False).print(fit)
    return drawn.getvalue()


def test_a_page_of_rows_is_drawn_without_rich() -> None:
    assert Fitted(["id", "state"], [["s1", Forms(("running",), "green")]]).lines(80) == [
        "             ",
        " id  state   ",
        " ─────────── ",
        " s1  running ",
        "             ",
    ]
