"""Decides how a run ended from what was seen. Pure; the order of the rules is the order of certainty."""

import msgspec

from buildjob.outcome import Outcome
from buildjob.process.child import Ended
from buildjob.spack.adapter import UNUSABLE_EXIT_CODES


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of one run."""

    ended: Ended
    is_spack: bool = True
    memory_kills: int = 0
    began: bool = True
    """Spack got as far as installing a package: what came before was its start, and waiting for another process's lock."""
    lacks_dependency: bool = False
    """A dependency is not installed, although it was when the build was to begin."""
    fetch_failed: bool = False
    no_space: bool = False


def classify(seen: Evidence) -> Outcome:
    """Return the outcome. A build that ended well has succeeded, whatever happened on the way."""
    ended = seen.ended
    began = seen.began or not seen.is_spack
    spack_broke = seen.is_spack and (not began or ended.exit_code in UNUSABLE_EXIT_CODES)
    rules = (
        (bool(ended.stopped_by), Outcome.INTERRUPTED),
        (ended.timed_out, Outcome.TIMED_OUT),
        (ended.exit_code == 0, Outcome.BUILT if began else Outcome.ALREADY_THERE),
        (seen.memory_kills > 0, Outcome.MEMORY_KILLED),
        (seen.no_space, Outcome.DISK_FULL),  # before a failed fetch: a full disk makes fetches fail too
        (seen.fetch_failed, Outcome.FETCH_FAILED),
        (not began and seen.lacks_dependency, Outcome.DEPENDENCY_FAILED),
        (spack_broke, Outcome.SPACK_UNUSABLE),
    )
    return next((outcome for applies, outcome in rules if applies), Outcome.BUILD_FAILED)
