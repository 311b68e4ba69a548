"""Policies: pure functions from evidence to a ladder of memory limits, behind one name each (`sizing.policies.table`).

A policy is handed all levels of the key chain and a prior, and decides alone which of them count. It does no I/O, reads no
clock and draws no random number: the same evidence, `now` and settings give the same ladder. Rounding to tiers and caps
is done after it, for all policies alike.
"""

from typing import Protocol

from sizing.observations import Evidence, Ladder, PolicySettings


class Policy(Protocol):
    """Turns evidence into a ladder."""

    def __call__(self, evidence: Evidence, *, now: float, settings: PolicySettings) -> Ladder | None:
        """Return the ladder of a key; None if neither an accepted level nor the prior says anything."""
