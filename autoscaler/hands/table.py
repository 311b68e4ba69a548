"""The hand of each pool."""

from collections.abc import Callable
from typing import TypeAlias

from autoscaler.cluster.api import Api
from autoscaler.hands.hand import Hand
from autoscaler.policy import Pool

_Make: TypeAlias = Callable[[Api, tuple[Pool, ...], str], Hand]


def hands_of(pools: tuple[Pool, ...], api: Api, *, owner: str) -> dict[str, Hand]:
    """Return the hand of each pool; pools of one kind share one. Raises BadRequest."""
    found: dict[str, Hand] = {}
    for kind in dict.fromkeys(pool.hand for pool in pools):
        some = tuple(pool for pool in pools if pool.hand == kind)
        hand = _MAKE[kind](api, some, owner)
        found |= {pool.name: hand for pool in some}
    return found


def _asg(api: Api, pools: tuple[Pool, ...], owner: str) -> Hand:
    from autoscaler.hands import asg  # noqa: PLC0415  boto3 is for this hand alone

    del api
    return asg.make_hand(pools, owner=owner)


def _nodeclaim(api: Api, pools: tuple[Pool, ...], owner: str) -> Hand:
    from autoscaler.hands.nodeclaim import NodeClaimHand  # noqa: PLC0415

    return NodeClaimHand(api, pools, owner=owner)


def _kwok(api: Api, pools: tuple[Pool, ...], owner: str) -> Hand:
    from autoscaler.hands.kwok import KwokHand  # noqa: PLC0415

    del owner
    return KwokHand(api, pools)


_MAKE: dict[str, _Make] = {"asg": _asg, "nodeclaim": _nodeclaim, "kwok": _kwok}
