"""Alarms of the installation are identified by kind and subject."""

from datetime import UTC, datetime

from orchestrator.rules.installation.installation_alarms import InstallationAlarmKind, installation_alarm

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_each_kind_and_subject_has_its_own_scope() -> None:
    alarms = [
        installation_alarm(kind, about, "", NOW)
        for kind in InstallationAlarmKind
        for about in ("", "host-1", "host-2")
    ]
    assert len({alarm.scope for alarm in alarms}) == len(alarms)


def test_an_alarm_begins_now() -> None:
    alarm = installation_alarm(InstallationAlarmKind.LOCAL_FAULT, "host-1", "no free file descriptor", NOW)
    assert (alarm.since, alarm.seen_at, alarm.times_seen) == (NOW, NOW, 1)
