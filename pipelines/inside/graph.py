"""Graphs of jobs: their order, what is left after pruning, what is implied, how long everything takes. Pure.

A graph maps each key to the keys that it needs. Every function answers the same for the same graph, in whatever order its
keys and their needs come.
"""

from typing import Dict, Iterable, List, Mapping, Set

from .specs import BadRequest, joined

Graph = Mapping[str, Iterable[str]]


def in_order(graph: Graph) -> List[str]:
    """Return the keys, each after all that it needs. Raises BadRequest for a cycle, or a need that is not in the graph."""
    needs: Dict[str, List[str]] = {key: sorted(set(graph[key])) for key in graph}
    waits = {key: len(needs[key]) for key in needs}
    users: Dict[str, List[str]] = {key: [] for key in needs}
    for key in sorted(needs):
        for need in needs[key]:
            if need not in users:
                raise BadRequest(f"{key} needs {need}, which is not in the graph")
            users[need].append(key)
    ready = sorted((key for key in waits if not waits[key]), reverse=True)
    order: List[str] = []
    while ready:
        key = ready.pop()
        order.append(key)
        # reversed: the smallest key of those that become ready is the next one
        for user in reversed(users[key]):
            waits[user] -= 1
            if not waits[user]:
                ready.append(user)
    if len(order) < len(needs):
        raise BadRequest("the graph has a cycle: {}".format(" -> ".join(_cycle(needs, set(needs) - set(order)))))
    return order


def _cycle(needs: Mapping[str, List[str]], among: Set[str]) -> List[str]:
    """Return a cycle, its first key at both ends. What waits for a cycle without being in one needs another in `among`."""
    key = min(among)
    path: List[str] = []
    places: Dict[str, int] = {}
    while key not in places:
        places[key] = len(path)
        path.append(key)
        key = next(need for need in needs[key] if need in among)
    return path[places[key] :] + [key]


def contracted(graph: Graph, kept: Set[str]) -> Dict[str, Set[str]]:
    """Return the graph of the keys that are kept: what needs a pruned key needs what that one needs."""
    reached: Dict[str, Set[str]] = {}
    for key in in_order(graph):
        found: Set[str] = set()
        for need in graph[key]:
            if need in kept:
                found.add(need)
            else:
                found |= reached[need]
        reached[key] = found
    return {key: reached[key] for key in reached if key in kept}


def reduced(graph: Graph) -> Dict[str, List[str]]:
    """Return the graph with the same reachability and the fewest needs; needs are sorted."""
    order = in_order(graph)
    place = {key: number for number, key in enumerate(order)}
    # one bit for each key that a key waits for, directly or not: an `or` of two sets of 20,000 takes a microsecond
    behind: Dict[str, int] = {}
    least: Dict[str, List[str]] = {}
    for key in order:
        implied, found = 0, []
        # the latest first: a need can only be implied by one that comes after it
        for need in sorted(set(graph[key]), key=lambda each: -place[each]):
            if not implied >> place[need] & 1:
                found.append(need)
                implied |= behind[need] | 1 << place[need]
        behind[key] = implied
        least[key] = sorted(found)
    return least


def levels(graph: Graph) -> Dict[str, int]:
    """Return how many jobs come before each one on the longest way to it."""
    found: Dict[str, int] = {}
    for key in in_order(graph):
        found[key] = max([found[need] + 1 for need in graph[key]] or [0])
    return found


def seconds_to_end(graph: Graph, seconds: Mapping[str, float]) -> Dict[str, float]:
    """Return how long it takes from the start of each job to the end of the last one that waits for it, with no queue."""
    order = in_order(graph)
    after = dict.fromkeys(order, 0.0)
    found: Dict[str, float] = {}
    for key in reversed(order):
        found[key] = after[key] + seconds[key]
        for need in graph[key]:
            after[need] = max(after[need], found[key])
    return found


def critical_first(graph: Graph, seconds: Mapping[str, float]) -> List[str]:
    """Return the keys, each after all that it needs; of those that could be next, the one with the most to come."""
    to_end, level = seconds_to_end(graph, seconds), levels(graph)
    # with no time at all on a way, the level keeps a job behind what it needs
    return sorted(to_end, key=lambda key: (-to_end[key], level[key], key))


def components(graph: Graph) -> List[List[str]]:
    """Return the parts of the graph between which nothing is needed, the largest first; keys are sorted."""
    leader = {key: key for key in graph}

    def find(key: str) -> str:
        while leader[key] != key:
            leader[key] = leader[leader[key]]
            key = leader[key]
        return key

    for key in graph:
        for need in graph[key]:
            leader[find(key)] = find(need)
    found: Dict[str, List[str]] = {}
    for key in sorted(graph):
        found.setdefault(find(key), []).append(key)
    return sorted(found.values(), key=lambda keys: (-len(keys), keys[0]))


def describe(keys: Iterable[str]) -> str:
    """Return keys as one text for a message."""
    return joined([key[:7] for key in sorted(keys)])
