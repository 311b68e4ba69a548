"""GitLab's limit on the needs of a job: too many are gathered by jobs that do nothing else. No need is ever dropped. Pure.

Source: GitLab's instance limits, "Maximum number of needs: dependencies of a job" (50 by default).
"""

import hashlib
from typing import Dict, List, Mapping, NamedTuple, Sequence

MOST = 50
FEWEST = 2


class Gathered(NamedTuple):
    """Needs of jobs, none with too many, and the jobs that were added: name -> what it needs."""

    needs: Dict[str, List[str]]
    gathers: Dict[str, List[str]]


def gathered(needs: Mapping[str, Sequence[str]], most: int, most_of_gathers: int = MOST) -> Gathered:
    """Return the needs with gather jobs where a job has more than `most`; the same ones are gathered once.

    A gather job stands for exactly its own needs, so nothing waits for what it did not wait for before.
    """
    if most < FEWEST or most_of_gathers < FEWEST:
        raise ValueError(f"a job must be allowed {FEWEST} needs at least")
    gathers: Dict[str, List[str]] = {}
    found: Dict[str, List[str]] = {}
    for key in sorted(needs):
        left = sorted(set(needs[key]))
        while len(left) > most:
            # one gather job in place of n needs leaves n - 1 less; gathers come last, and are gathered in their turn
            count = min(most_of_gathers, len(left) - most + 1)
            chunk, left = left[:count], left[count:]
            left.append(_gather(chunk, gathers))
        found[key] = left
    return Gathered(found, gathers)


def _gather(chunk: List[str], gathers: Dict[str, List[str]]) -> str:
    name = "gather-" + hashlib.sha256("\0".join(chunk).encode("utf-8", "replace")).hexdigest()[:16]
    gathers[name] = chunk
    return name
