"""Orders that no list shows yet count as booting, so that the next decision does not make them again."""

from autoscaler.hands.hand import order_name
from autoscaler.hands.recent import Recent
from autoscaler.snapshot import Launch


def launch(name: str, at: float = 0.0) -> Launch:
    return Launch(id=name, pool="p", type="t", zone="z", ordered_at=at)


def test_an_order_counts_from_its_first_moment_until_it_is_a_node() -> None:
    recent = Recent()
    recent.add(launch("a"))
    assert recent.settle(shown=[], fulfilled=[], now=1) == (launch("a"),)
    recent.see("a", launch("a"), "")
    assert recent.settle(shown=["a"], fulfilled=[], now=2) == (launch("a"),)
    assert recent.settle(shown=["a"], fulfilled=["a"], now=3) == ()
    assert recent.faults("p", 3) == ()


def test_an_order_that_never_shows_is_a_fault_after_a_minute() -> None:
    recent = Recent()
    recent.add(launch("a"))
    assert recent.settle(shown=[], fulfilled=[], now=60) == (launch("a"),)
    assert recent.settle(shown=[], fulfilled=[], now=61) == ()
    (fault,) = recent.faults("p", 61)
    assert (fault.type, fault.zone, fault.at) == ("t", "z", 61)


def test_an_order_that_was_there_and_is_gone_is_a_fault_in_the_clouds_words() -> None:
    recent = Recent()
    recent.see("a", launch("a"), "InsufficientCapacity: none left")
    recent.see("a", launch("a"), "")
    assert recent.settle(shown=[], fulfilled=[], now=5) == ()
    assert [fault.message for fault in recent.faults("p", 5)] == ["InsufficientCapacity: none left"]
    assert recent.faults("other", 5) == ()


def test_an_order_that_we_gave_up_is_no_fault() -> None:
    recent = Recent()
    recent.see("a", launch("a"), "")
    recent.forget("a")
    assert recent.settle(shown=[], fulfilled=[], now=5) == ()
    assert recent.faults("p", 5) == ()


def test_faults_are_forgotten_after_an_hour() -> None:
    recent = Recent()
    recent.fault(launch("a"), "no", 100)
    assert len(recent.faults("p", 3699)) == 1
    assert recent.faults("p", 3700) == ()


def test_the_same_order_has_the_same_names() -> None:
    assert order_name("Spack x86_64", "abc-1", 0) == "spack-x86-64-abc-1-0"
    assert order_name("", "a", 1) == "pool-a-1"
    assert len(order_name("x" * 90, "abcdefgh-10", 99)) <= 63
