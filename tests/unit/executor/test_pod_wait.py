"""How long a build container may fail to start beside the helper until that is its image's fault."""

from executor.pod_status import Progress, StartupStep
from executor.pod_wait import LASTING_SECONDS, Lasting

REFUSED = Progress(StartupStep.REFUSED, "cannot be started")
STUCK = Progress(StartupStep.STARTING, "trying again", lasting=REFUSED)
OTHER = Progress(StartupStep.ON_NODE, "starting containers")


def test_it_counts_from_the_first_time_also_across_other_states() -> None:
    clock = [100.0]
    lasting = Lasting(lambda: clock[0])
    assert lasting.look(OTHER)[0] is OTHER
    clock[0] = 150
    assert lasting.look(STUCK) == (STUCK, LASTING_SECONDS)
    clock[0] += LASTING_SECONDS - 1
    assert lasting.look(OTHER)[0] is OTHER
    assert lasting.look(STUCK) == (STUCK, 1)
    clock[0] += 1
    assert lasting.look(STUCK)[0] is REFUSED
    assert lasting.look(OTHER)[0] is OTHER
