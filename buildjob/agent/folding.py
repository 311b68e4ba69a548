"""Folds a job's log where GitLab can: each package and phase is a section; what a reader needs at once stands outside.

Elsewhere, and with `--no-sections`, a section is its title alone.
"""

import contextlib
import time
from collections.abc import Callable, Iterator

from buildjob.agent.session import Session
from buildjob.gitlab import sections
from buildjob.log import LINE_PREFIX
from buildjob.spack.concrete import ConcreteSpec
from buildjob.spack.install_log import Reader

_OURS = "spack_farm"


@contextlib.contextmanager
def folded(session: Session, title: str, *name: str) -> Iterator[None]:
    """Put what is logged and printed within into a section of its own; `name` tells it from the job's other sections."""
    if not session.request.folds:
        session.log.step(title)
        yield
        return
    whole = sections.name_of(_OURS, *name)
    session.log.plain(sections.start(whole, f"{LINE_PREFIX}{title}", now=time.time()))
    try:
        yield
    finally:
        session.log.plain(sections.end(whole, now=time.time()))


def phase_folds(session: Session, spec: ConcreteSpec) -> sections.PhaseFolds | None:
    """Return what folds the phases of a package's build; None where nothing is folded."""
    if not session.request.folds:
        return None
    prefix = sections.name_of(_OURS, spec.name, spec.hash[:7])
    return sections.PhaseFolds(prefix, phases=_phases(), clock=time.time)


def _phases() -> Callable[[bytes], list[str]]:
    """Return a reader of its own: the run's is fed at other times."""
    return Reader().feed
