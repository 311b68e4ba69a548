"""Kills are counted by the kernel; their victims are inferred from who has gone."""

from buildjob.measure.memory_kills import MemoryKills
from buildjob.measure.processes import Key, ProcessUse
from buildjob.telemetry import MemoryKill
from tests.labs.process_uses import process_use, walked

_MOST = 100


def _tree(**mib: int) -> dict[Key, ProcessUse]:
    """Return processes: name to resident MiB; the pid is the same for the same name."""
    return walked(*(process_use(sum(name.encode()), name=name, mib=size) for name, size in mib.items()))


def _kills() -> MemoryKills:
    return MemoryKills(command=lambda use: use.name)


def _names(kills: MemoryKills) -> list[str | None]:
    return [kill.process for kill in kills.kills()]


def test_nothing_was_killed() -> None:
    kills = _kills()
    kills.notice(0, at_seconds=1.0, limit_bytes=None, before=_tree(cc1=10))
    kills.name({}, now_seconds=9.0, at_last=True)
    assert (kills.kills(), kills.is_waiting, kills.has_news(0)) == ([], False, False)


def test_the_largest_that_has_gone_is_the_victim() -> None:
    kills = _kills()
    kills.notice(1, at_seconds=1.5, limit_bytes=512, before=_tree(sh=1, cc1=300, ld=200, make=400))
    assert kills.is_waiting
    kills.name(_tree(sh=1, make=400), now_seconds=1.7)
    assert kills.kills() == [MemoryKill(process="cc1", inferred=True, limit_bytes=512, at_seconds=1.5)]
    assert not kills.is_waiting


def test_the_kernel_chooses_by_all_that_is_resident() -> None:
    kills = _kills()
    before = walked(process_use(1, name="ld", mib=100, shared_mib=300), process_use(2, name="cc1", mib=200))
    kills.notice(1, at_seconds=1.0, limit_bytes=None, before=before)
    kills.name({}, now_seconds=1.1)
    assert _names(kills) == ["ld"]


def test_a_count_that_was_noticed_is_no_news() -> None:
    kills = _kills()
    kills.notice(2, at_seconds=1.0, limit_bytes=None, before={})
    assert not kills.has_news(2)
    assert kills.has_news(3)
    kills.notice(2, at_seconds=5.0, limit_bytes=None, before={})
    assert [kill.at_seconds for kill in kills.kills()] == [1.0, 1.0]


def test_a_victim_that_is_still_dying_is_named_within_two_seconds_and_not_later() -> None:
    kills = _kills()
    before = _tree(sh=1, cc1=300)
    kills.notice(1, at_seconds=1.0, limit_bytes=None, before=before)
    kills.name(before, now_seconds=2.9)
    assert (kills.is_waiting, _names(kills)) == (True, [None])
    kills.name(before, now_seconds=3.0)
    assert (kills.is_waiting, _names(kills)) == (False, [None])
    kills.name(_tree(sh=1), now_seconds=3.1)
    assert _names(kills) == [None]


def test_the_end_of_the_run_ends_the_wait() -> None:
    kills = _kills()
    before = _tree(cc1=300)
    kills.notice(1, at_seconds=1.0, limit_bytes=None, before=before)
    kills.name(before, now_seconds=1.1, at_last=True)
    assert (kills.is_waiting, _names(kills)) == (False, [None])


def test_more_kills_than_processes_that_have_gone_leave_the_rest_without_a_name() -> None:
    kills = _kills()
    kills.notice(3, at_seconds=1.0, limit_bytes=None, before=_tree(cc1=300, ld=200, zombie=0))
    kills.name({}, now_seconds=1.1)
    assert _names(kills) == ["cc1", "ld", None]


def test_later_kills_come_after_earlier_ones_and_those_without_a_name_yet_at_the_end() -> None:
    kills = _kills()
    kills.notice(1, at_seconds=1.0, limit_bytes=None, before=_tree(cc1=300))
    kills.name({}, now_seconds=1.1)
    kills.notice(2, at_seconds=2.0, limit_bytes=None, before=_tree(ld=200))
    assert [(kill.process, kill.at_seconds) for kill in kills.kills()] == [("cc1", 1.0), (None, 2.0)]


def test_kills_without_end_stay_bounded() -> None:
    kills = _kills()
    for count in (60, 130, 10_000):
        kills.notice(count, at_seconds=float(count), limit_bytes=None, before={})
        kills.name({}, now_seconds=1e9)
    kills.notice(20_000, at_seconds=1.0, limit_bytes=None, before={})
    assert len(kills.kills()) == _MOST
    assert kills.kills()[60].at_seconds == 130.0
