"""The doctor shows faults of a worker's own machine, or of its network: one line, with its remedy."""

import pytest

from orchestrator.flows.upstream.alarms import open_alarm
from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind
from orchestrator.rules.upstream.local_faults import REMEDIES, LocalFault
from tests.cli.conftest import Cli
from tests.world import World


@pytest.mark.parametrize("fault", [LocalFault.FILES, LocalFault.RESOLVER])
def test_a_fault_of_a_machine_turns_one_line_red(cli: Cli, world: World, fault: LocalFault) -> None:
    before = {one["check"]: one["ok"] for one in cli("doctor", "--json").json}
    about, reason = f"{fault} on host-7", REMEDIES[fault]
    now = world.clock.now
    world.services.database.transact(
        lambda tx: open_alarm(tx, InstallationAlarmKind.LOCAL_FAULT, about, reason, now)
    )
    findings = cli("doctor", "--json").json
    assert [one["check"] for one in findings if before[one["check"]] != one["ok"]] == ["machines"]
    [machines] = [one for one in findings if one["check"] == "machines"]
    assert machines["detail"] == f"{about}: {reason}"
