"""What a hand does for its pools. The decision knows pools and machines only; clouds and their words end here.

A hand changes nothing by itself: each change is a line of a plan, and before each request it calls the fence, which raises
NotLeader once another controller may act.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from autoscaler.policy import Pool
from autoscaler.scale_plan import LaunchNodes, LowerDesired
from autoscaler.snapshot import Launch, Node, PoolState

Fence = Callable[[], None]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a hand sees of its pools at one instant."""

    pools: tuple[PoolState, ...] = ()
    """Each pool of the hand."""
    launches: tuple[Launch, ...] = ()
    """Orders whose nodes have not come yet."""


class Hand(Protocol):
    """Orders machines, looks at them, ends one. Raises CloudError or ClusterError."""

    def look(self, nodes: Mapping[str, Node], now: float) -> View:
        """Return what there is. `nodes` are those of the cluster, by machine."""

    def launch(self, line: LaunchNodes, *, order: str, fence: Fence) -> None:
        """Order machines. The same order twice is one order."""

    def end(self, pool: str, instance: str, *, node: str, fence: Fence) -> None:
        """End exactly one machine, and do not replace it; one that is gone is success. `node` is "" if it has none."""

    def cancel(self, pool: str, launch: str, *, fence: Fence) -> None:
        """Give up an order that has no machine yet; one that is gone is success."""

    def protect(self, *, fence: Fence) -> int:
        """Keep the cloud from ending machines by itself, as they were last looked at; return for how many that was new."""

    def lower(self, line: LowerDesired, *, fence: Fence) -> None:
        """Give up orders that are not fulfilled. No machine that exists is ended."""


def order_name(pool: str, order: str, number: int) -> str:
    """Return the name of one machine of an order: the same again if the order is repeated, and valid in Kubernetes."""
    safe = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in pool.lower()).strip("-")
    return f"{(safe or 'pool')[:40].rstrip('-')}-{order}-{number}"


def by_name(pools: tuple[Pool, ...]) -> dict[str, Pool]:
    """Return pools by name."""
    return {pool.name: pool for pool in pools}
