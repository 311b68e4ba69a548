"""The fake API server's objects, with versions, and a history of changes for watches.

Source: Kubernetes API conventions, "Concurrency control", "Efficient detection of changes". Knows no HTTP and no process.
"""

import copy
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

Object = dict[str, Any]


class ApiError(Exception):
    """A refusal, as the API server answers it."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    def status(self) -> bytes:
        """Return the answer's body."""
        answer = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message}
        return json.dumps(answer | {"reason": self.reason, "code": self.code}).encode()


class Store:
    """Objects of all kinds; every method may be called from any thread and returns copies."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._objects: dict[tuple[str, str], Object] = {}
        self._history: list[tuple[int, str, str, Object]] = []
        self._version = 1000

    def create(self, kind: str, document: Object) -> Object:
        """Add an object. Raises ApiError 409 if its name is taken."""
        with self._changed:
            metadata = document["metadata"]
            key = (kind, metadata["name"])
            if key in self._objects:
                raise ApiError(409, "AlreadyExists", f'{kind} "{metadata["name"]}" already exists')
            made = copy.deepcopy(document)
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            made["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now}
            self._objects[key] = made
            return self._note(kind, "ADDED", made)

    def get(self, kind: str, name: str) -> Object:
        """Return an object. Raises ApiError 404."""
        with self._changed:
            return copy.deepcopy(self._find(kind, name))

    def list(self, kind: str) -> list[Object]:
        """Return the objects of a kind."""
        with self._changed:
            return [copy.deepcopy(item) for (of, _), item in self._objects.items() if of == kind]

    @property
    def version(self) -> str:
        """The version of the last change."""
        return str(self._version)

    def change(self, kind: str, name: str, how: Callable[[Object], object]) -> Object:
        """Change an object in place by a function. Raises ApiError 404."""
        with self._changed:
            document = self._find(kind, name)
            how(document)
            return self._note(kind, "MODIFIED", document)

    def remove(self, kind: str, name: str) -> Object:
        """Remove an object. Raises ApiError 404."""
        with self._changed:
            document = self._find(kind, name)
            del self._objects[kind, name]
            return self._note(kind, "DELETED", document)

    def watch(self, kind: str, name: str, *, after: int | None, until: float) -> Iterator[Object | None]:
        """Yield the changes of one object after a version, or its present state and all after; None now and then."""
        with self._changed:
            present = self._objects.get((kind, name)) if after is None else None
            place = len(self._history)
            if after is not None:
                place = next((index for index, entry in enumerate(self._history) if entry[0] > after), place)
        if present is not None:
            yield {"type": "ADDED", "object": copy.deepcopy(present)}
        while time.monotonic() < until:
            with self._changed:
                if place == len(self._history):
                    self._changed.wait(0.5)
                fresh, place = self._history[place:], len(self._history)
            for _, of, change, document in fresh:
                if of == kind and document["metadata"]["name"] == name:
                    yield {"type": change, "object": document}
            yield None

    def _find(self, kind: str, name: str) -> Object:
        try:
            return self._objects[kind, name]
        except KeyError:
            raise ApiError(404, "NotFound", f'{kind} "{name}" not found') from None

    def _note(self, kind: str, change: str, document: Object) -> Object:
        """Record a change and wake the watches; return a copy of the object."""
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        copied = copy.deepcopy(document)
        self._history.append((self._version, kind, change, copied))
        self._changed.notify_all()
        return copied
