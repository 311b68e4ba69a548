"""Divides a graph of jobs into child pipelines, where one would be too large for GitLab. Pure.

Parts that need nothing of each other run side by side; the others wait for whole parts. Between two parts needs go one way
only, so the parts are a graph without cycles themselves.
"""

from typing import Dict, List, Mapping, NamedTuple, Sequence, Set

from ..graph import Graph, components, levels
from ..specs import BadRequest


class Part(NamedTuple):
    """A child pipeline: its name, its jobs in the given order, the names of the parts that end before it starts."""

    name: str
    keys: List[str]
    after: List[str]


class Room(NamedTuple):
    """How much a pipeline may have."""

    jobs: int
    parsed_bytes: int


def divided(graph: Graph, order: Sequence[str], weights: Mapping[str, int], room: Room) -> List[Part]:
    """Return the parts; one without a name if everything fits. Jobs have the order of `order`; `weights` are parsed bytes.

    Raises BadRequest if a single job is too large.
    """
    if _fits(order, weights, room):
        return [Part("", list(order), [])]
    for key in order:
        if not _fits([key], weights, room):
            raise BadRequest(
                f"the job of {key} takes {weights[key]} parsed bytes, and a pipeline may have {room.parsed_bytes}; "
                "shorten what the 'ci' section gives it"
            )
    place = {key: number for number, key in enumerate(order)}
    level = levels(graph)
    chunks: List[List[str]] = []
    open_chunks: List[List[str]] = []
    for component in components(graph):
        if _fits(component, weights, room):
            _pack(component, open_chunks, weights, room)
            continue
        chunks += _bands(sorted(component, key=lambda key: (level[key], place[key])), weights, room)
    chunks += open_chunks
    width = len(str(len(chunks)))
    names = ["part-{:0{}d}".format(number + 1, width) for number in range(len(chunks))]
    of = {key: name for name, chunk in zip(names, chunks) for key in chunk}
    return [
        Part(name, sorted(chunk, key=lambda key: place[key]), _after(name, chunk, graph, of))
        for name, chunk in zip(names, chunks)
    ]


def _bands(keys: Sequence[str], weights: Mapping[str, int], room: Room) -> List[List[str]]:
    """Return the keys of one component, sorted by level, cut where the room ends: needs go to earlier bands only."""
    bands: List[List[str]] = [[]]
    for key in keys:
        if not _fits(bands[-1] + [key], weights, room):
            bands.append([])
        bands[-1].append(key)
    return bands


def _pack(component: List[str], chunks: List[List[str]], weights: Mapping[str, int], room: Room) -> None:
    for chunk in chunks:
        if _fits(chunk + component, weights, room):
            chunk.extend(component)
            return
    chunks.append(list(component))


def _fits(keys: Sequence[str], weights: Mapping[str, int], room: Room) -> bool:
    return len(keys) <= room.jobs and sum(weights[key] for key in keys) <= room.parsed_bytes


def _after(name: str, chunk: Sequence[str], graph: Graph, of: Dict[str, str]) -> List[str]:
    others: Set[str] = {of[need] for key in chunk for need in graph[key]} - {name}
    return sorted(others)
