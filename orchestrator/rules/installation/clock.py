"""Whether the store's clock can be trusted: it is compared with a clock that only measures.

A host's clock may jump: an operator sets it, a virtual machine resumes, time synchronisation steps it. The measuring
clock (seconds since the machine started) does none of this. If the two differ by more than `TOLERANCE`, the time goes
on as measured until they agree again or an operator accepts the new time."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

#: The store's clock may differ from the measured time by this much.
TOLERANCE = timedelta(seconds=5)
#: A clock may run fast or slow by this share: twice the most that time synchronisation corrects by. Quartz is better.
DRIFT = 0.001
#: The alarm of a jump ends once no jump was open for this long: if the clocks of two hosts disagree, each host ends the
#: jump that the other has found.
ALARM_HOLD = timedelta(minutes=1)
#: Every process learns of a correction within this time, and may write the wrong time until then.
CORRECT_FOR = timedelta(seconds=20)
#: Rows that could not be corrected, such as unreadable ones, are tried again after this.
CORRECT_AGAIN = timedelta(minutes=5)
#: This many machines are remembered with what they last measured: the processes of an installation restart on few.
MACHINES = 8
_NONE = timedelta(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockReading:
    """One reading of the store's clock, between two readings of the measuring one."""

    raw: datetime
    before: float
    after: float

    @property
    def low(self) -> datetime:
        """The earliest origin: what the store's clock would show when the measuring one shows 0."""
        return self.raw - timedelta(seconds=self.after)

    @property
    def high(self) -> datetime:
        """The latest origin."""
        return self.raw - timedelta(seconds=self.before)

    @property
    def sharp(self) -> bool:
        """Return whether the reading was quick enough to detect a jump."""
        return self.after - self.before <= TOLERANCE.total_seconds()


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """What one process knows of the time."""

    origin: datetime
    """The trusted time when the measuring clock shows 0."""
    last: datetime
    """The last trusted time that was returned: time never goes back behind it."""
    checked: float
    """When the two clocks were last compared."""
    jumped: bool = False
    accepted: int | None = None
    """How many of an operator's decisions this process has applied; None: it has not read the shared time yet."""
    beats: int = 0

    def at(self, measured: float) -> datetime:
        """Return the trusted time at this reading of the measuring clock."""
        return self.origin + timedelta(seconds=measured)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a machine measured when it last noted the time."""

    at: datetime
    """The trusted time."""
    boot: str
    """The start of the machine."""
    seconds: float
    """The reading of its measuring clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownTime:
    """What all processes know of the time: the row in the store."""

    at: datetime
    """The highest trusted time that was noted."""
    boot: str
    """The start of the machine that measured it."""
    boot_seconds: float
    """The reading of the measuring clock there."""
    beats: int = 0
    """How often it was noted."""
    jumped_at: datetime | None = None
    """When the open jump was found, in trusted time."""
    correction: timedelta = _NONE
    """Trusted time minus the clock's, while a jump is open."""
    seen_by: str = ""
    """The host that saw the jump first."""
    accepted: int = 0
    """How often an operator accepted the clock's time."""
    corrected_at: datetime | None = None
    """When the last jump ended."""
    shift: timedelta = _NONE
    """How far the trusted time went back when it was last accepted: rows written before may lie in the future."""
    correct_at: datetime | None = None
    """When rows with times in the future must be corrected; None: that is done."""
    others: tuple[Measured, ...] = ()
    """What other machines measured since the time was last accepted, the latest first."""

    def measured_by(self, boot: str) -> Measured | None:
        """Return what this start of a machine last measured; None if that is not known."""
        if not boot:
            return None
        latest = Measured(at=self.at, boot=self.boot, seconds=self.boot_seconds)
        return next((one for one in (latest, *self.others) if one.boot == boot), None)


def away(reading: ClockReading, origin: datetime) -> timedelta:
    """Return how far the clock is ahead (above zero) or behind of the time measured from `origin` on."""
    return max(_NONE, reading.low - origin) + min(_NONE, reading.high - origin)


def compared(trust: Trust, reading: ClockReading) -> Trust:
    """Compare the two clocks, and return the trust, with `last` as the present time."""
    followed = trust if trust.jumped else _followed(trust, reading)
    agrees = abs(away(reading, followed.origin)) <= TOLERANCE and (reading.sharp or not trust.jumped)
    if agrees:
        return replace(followed, last=max(trust.last, reading.raw), jumped=False)
    return replace(trust, last=max(trust.last, trust.at(reading.after)), jumped=True)


def trusted(reading: ClockReading, accepted: int | None = None) -> Trust:
    """Return the trust in a clock that is right as it is."""
    return Trust(origin=reading.low, last=reading.raw, checked=reading.after, accepted=accepted)


def first_trust(known: KnownTime | None, reading: ClockReading, boot: str, *, alive: bool = False) -> Trust:
    """Return the first trust of a process that has measured nothing itself yet. `alive`: others note the time right
    now.

    If this machine has noted a time since it started, what it measured since then decides, unless others have noted a
    later time: then the machine was suspended. Otherwise a clock ahead of the noted time is trusted (time has passed),
    and a clock behind it is not."""
    if known is None:
        return trusted(reading)
    mine = known.measured_by(boot)
    if mine is not None and mine.seconds <= reading.after and not _suspended(mine, known, reading):
        origin, checked = mine.at - timedelta(seconds=mine.seconds), mine.seconds
    else:
        origin = _likely(known, reading, alive=alive) - timedelta(seconds=reading.after)
        checked = reading.after
    trust = Trust(
        origin=origin,
        last=min(known.at, origin + timedelta(seconds=reading.after)),
        checked=checked,
        accepted=known.accepted,
        beats=known.beats,
    )
    return compared(trust, reading)


def met(trust: Trust, known: KnownTime, reading: ClockReading) -> Trust:
    """Return the trust of a process after it has read what the others know.

    An operator's decision counts most. If the others noted just what the clock shows, and this process measured
    something else, its machine was suspended."""
    if trust.accepted != known.accepted:
        return replace(trusted(reading, known.accepted), beats=known.beats)
    others = known.beats != trust.beats
    trust = replace(compared(trust, reading), beats=known.beats)
    agree = others and known.jumped_at is None and abs(reading.raw - known.at) <= TOLERANCE
    if trust.jumped and agree:
        return replace(trusted(reading, known.accepted), beats=known.beats)
    return trust


def noted(known: KnownTime | None, trust: Trust, reading: ClockReading, boot: str, host: str) -> KnownTime:
    """Return what all processes should know, given what this one knows."""
    before = known or KnownTime(at=trust.last, boot=boot, boot_seconds=reading.after)
    mine = replace(
        before,
        at=max(before.at, trust.last),
        boot=boot,
        boot_seconds=reading.after,
        beats=before.beats + 1,
        others=_others(before, boot),
    )
    if trust.jumped:
        since = before.jumped_at or trust.last
        seen_by = before.seen_by if before.jumped_at else host
        return replace(mine, jumped_at=since, correction=trust.last - reading.raw, seen_by=seen_by)
    if before.jumped_at is None:
        return mine
    return replace(
        mine,
        jumped_at=None,
        correction=_NONE,
        corrected_at=trust.last,
        shift=_outstanding(before),
        correct_at=trust.last,
    )


def alarm_may_end(known: KnownTime, now: datetime) -> bool:
    """Return whether the clock has agreed with the measured time for long enough to close the alarm."""
    if known.jumped_at is not None:
        return False
    return known.corrected_at is None or abs(now - known.corrected_at) >= ALARM_HOLD


def is_news(known: KnownTime, after: KnownTime, every: timedelta) -> bool:
    """Return whether the row must be written: a jump began, changed or ended, or the last note is older than
    `every`."""
    jumps = (known.jumped_at is None) != (after.jumped_at is None)
    return jumps or abs(known.correction - after.correction) > TOLERANCE or after.at - known.at >= every


def accepted(known: KnownTime, trust: Trust, reading: ClockReading, boot: str) -> KnownTime:
    """Return what all processes should know once an operator has accepted the clock."""
    return replace(
        known,
        at=reading.raw,
        boot=boot,
        boot_seconds=reading.after,
        beats=known.beats + 1,
        jumped_at=None,
        correction=_NONE,
        accepted=known.accepted + 1,
        corrected_at=reading.raw,
        shift=_outstanding(known) + max(_NONE, trust.last - reading.raw),
        correct_at=reading.raw,
        others=(),
    )


def to_correct(known: KnownTime, now: datetime) -> bool:
    """Return whether rows that a corrected clock left in the future must be corrected now."""
    return known.jumped_at is None and known.correct_at is not None and known.correct_at <= now


def correction_is_late(known: KnownTime, now: datetime) -> bool:
    """Return whether rows have waited for their correction for longer than it takes while a worker runs."""
    since = known.corrected_at
    return known.correct_at is not None and since is not None and now - since > 3 * CORRECT_FOR


def is_first_correction(known: KnownTime) -> bool:
    """Return whether no pass has finished since all processes learned of the correction."""
    return known.correct_at == known.corrected_at


def after_correction(known: KnownTime, began: datetime, now: datetime, *, complete: bool) -> KnownTime:
    """Return what all processes should know after a pass over the rows. The last pass is a `complete` one that began
    once every process knew of the correction."""
    if known.corrected_at is None or began < known.corrected_at + CORRECT_FOR:
        return known
    return replace(known, correct_at=None if complete else now + CORRECT_AGAIN)


def in_words(known: KnownTime) -> str:
    """Return what is wrong with the clock, and what to do, while a jump is open."""
    ahead = -known.correction.total_seconds()
    return (
        f"the store's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the time that processes"
        f" measure, since {known.jumped_at:%Y-%m-%d %H:%M:%S}Z (seen by {known.seen_by}); they continue with "
        "the measured"
        " time. Correct the clock of the store's host; if its time is right and has really passed, run"
        " `orchestrator clock accept`"
    )


def _outstanding(known: KnownTime) -> timedelta:
    """Return how far ahead rows may be that an earlier correction has not reached yet."""
    return known.shift if known.correct_at is not None else _NONE


def _others(before: KnownTime, boot: str) -> tuple[Measured, ...]:
    """Return what machines other than this one measured, the latest first."""
    latest = Measured(at=before.at, boot=before.boot, seconds=before.boot_seconds)
    return tuple(one for one in (latest, *before.others) if one.boot not in {"", boot})[:MACHINES]


def _suspended(mine: Measured, known: KnownTime, reading: ClockReading) -> bool:
    """Return whether others noted a later time than this machine has measured since its own note."""
    return mine.at + timedelta(seconds=reading.after - mine.seconds) < known.at - TOLERANCE


def _followed(trust: Trust, reading: ClockReading) -> Trust:
    """Follow slow drift, by at most what a clock can drift since the last comparison."""
    most = timedelta(seconds=DRIFT * max(0.0, reading.after - trust.checked))
    by = min(max(away(reading, trust.origin), -most), most)
    return replace(trust, origin=trust.origin + by, checked=max(trust.checked, reading.after))


def _likely(known: KnownTime, reading: ClockReading, *, alive: bool) -> datetime:
    """Return the most likely time, given what was noted elsewhere: the earliest reading that is not behind the note."""
    readings = (reading.raw, reading.raw + known.correction)
    if alive:
        nearest = min(readings, key=lambda at: abs(at - known.at))
        return nearest if abs(nearest - known.at) <= 2 * TOLERANCE else known.at
    return min((at for at in readings if at >= known.at - TOLERANCE), default=known.at)
