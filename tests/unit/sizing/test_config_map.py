"""The size table in a ConfigMap: what is read and written, what another writer's change and a large table mean.

The API is the part of the official client that is used, over one object in memory; tests/e2e has a real one.
"""

import base64
import json
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client import ApiException

from sizing.errors import BadRequest, Overtaken, SourceError, TooLarge
from sizing.size_table import pack
from sizing.targets.config_map import KEY, ConfigMap

TABLE = b'{"version":2}'


class Api:
    """One ConfigMap, or none; `refuses` is what the API server answers instead."""

    def __init__(self, found: dict[str, Any] | None = None, *, refuses: Exception | None = None) -> None:
        self.found, self.refuses = found, refuses

    def read_namespaced_config_map(self, *_: str, **__: Any) -> Any:
        if self.refuses:
            raise self.refuses
        if self.found is None:
            raise ApiException(status=404, reason="Not Found")
        return SimpleNamespace(data=json.dumps(self.found))

    def create_namespaced_config_map(self, _: str, body: dict[str, Any], **__: Any) -> None:
        if self.found is not None:
            raise ApiException(status=409, reason="Conflict")
        self.found = body | {"metadata": body["metadata"] | {"resourceVersion": "1"}}

    def replace_namespaced_config_map(self, _: str, __: str, body: dict[str, Any], **___: Any) -> None:
        if self.refuses:
            raise self.refuses
        assert self.found
        if body["metadata"]["resourceVersion"] != self.found["metadata"]["resourceVersion"]:
            raise ApiException(status=409, reason="Conflict")
        version = str(int(self.found["metadata"]["resourceVersion"]) + 1)
        self.found = body | {"metadata": body["metadata"] | {"resourceVersion": version}}


def there(**changes: Any) -> dict[str, Any]:
    metadata = {"name": "sizes", "resourceVersion": "7", "managedFields": [{}], "labels": {"mine": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata} | changes


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def error(status: int, message: str = "") -> ApiException:
    refused = ApiException(status=status, reason="No")
    refused.body = json.dumps({"message": message}) if message else None
    return refused


@pytest.mark.parametrize(
    "answer",
    [None, [], "x", 1, {}, {"metadata": 1}, {"metadata": {}, "data": [1]}, {"metadata": {}, "binaryData": {KEY: 7}}],
    ids=str,
)
def test_an_answer_that_is_no_config_map_is_none(answer: Any) -> None:
    api = SimpleNamespace(read_namespaced_config_map=lambda *_, **__: SimpleNamespace(data=json.dumps(answer)))
    with pytest.raises(SourceError, match="the ConfigMap farm/sizes can't be read: the answer is not a ConfigMap"):
        ConfigMap("farm/sizes", api=api).read()


def test_a_config_map_that_is_not_there_is_made() -> None:
    api = Api()
    target = ConfigMap("farm/sizes", api=api)
    assert target.read() is None
    target.write(TABLE)
    assert api.found
    assert api.found["binaryData"] == {KEY: encoded(pack(TABLE))}
    assert (api.found["metadata"]["namespace"], api.found["metadata"]["name"]) == ("farm", "sizes")
    assert ConfigMap("farm/sizes", api=api).read() == pack(TABLE)


@pytest.mark.parametrize(
    ("changes", "old"),
    [
        ({}, None),
        ({"binaryData": None, "data": None}, None),
        ({"binaryData": {KEY: encoded(b"old")}}, b"old"),
        ({"data": {KEY: "by hand", "README": "x"}}, b"by hand"),
        ({"binaryData": {"other": "AA=="}, "data": {"README": "x"}}, None),
    ],
    ids=["empty", "null", "table", "text", "other-keys"],
)
def test_only_the_table_is_replaced(changes: dict[str, Any], old: bytes | None) -> None:
    api = Api(there(**changes))
    target = ConfigMap("farm/sizes", api=api)
    assert target.read() == old
    target.write(TABLE)
    assert api.found
    assert api.found["binaryData"] == {**(changes.get("binaryData") or {}), KEY: encoded(pack(TABLE))}
    assert api.found["data"] == {key: value for key, value in (changes.get("data") or {}).items() if key != KEY}
    assert api.found["metadata"]["labels"] == {"mine": "yes"}
    assert "managedFields" not in api.found["metadata"]


@pytest.mark.parametrize("found", [None, there()])
def test_what_another_writer_changed_meanwhile_is_left(found: dict[str, Any] | None) -> None:
    api = Api(found)
    one, two = ConfigMap("farm/sizes", api=api), ConfigMap("farm/sizes", api=api)
    one.read()
    two.read()
    one.write(TABLE)
    with pytest.raises(Overtaken, match="was changed by another writer meanwhile: run this again"):
        two.write(b"{}")
    assert two.read() == pack(TABLE)


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (error(403, "configmaps is forbidden:\n User x cannot get"), "403: configmaps is forbidden: User x cannot get"),
        (error(500), "500: No"),
        (OSError("no route to host"), "no route to host"),
    ],
)
def test_what_the_api_server_says_is_one_line(refused: Exception, said: str) -> None:
    with pytest.raises(SourceError) as raised:
        ConfigMap("farm/sizes", api=Api(refuses=refused)).read()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    api = Api(there())
    target = ConfigMap("farm/sizes", api=api)
    target.read()
    api.refuses = refused
    with pytest.raises(SourceError, match="can't be written"):
        target.write(TABLE)


def test_what_is_not_base64_is_not_taken_for_a_table() -> None:
    with pytest.raises(SourceError, match="not base64"):
        ConfigMap("farm/sizes", api=Api(there(binaryData={KEY: "!"}))).read()


def test_a_table_that_is_too_large_is_written_nowhere() -> None:
    api = Api(there())
    target = ConfigMap("farm/sizes", api=api)
    target.most_bytes = len(pack(TABLE)) - 1
    target.read()
    with pytest.raises(TooLarge, match=r"--output, see docs/sizing\.md"):
        target.write(TABLE)
    assert api.found == there()


@pytest.mark.parametrize("place", ["sizes", "/sizes", "farm/", "Farm/sizes", "farm/Sizes", "a/b/c", "farm/-x", "f.g/x", " "])
def test_a_place_that_no_cluster_has_is_rejected(place: str) -> None:
    with pytest.raises(BadRequest, match="give NAMESPACE/NAME"):
        ConfigMap(place, api=Api())
