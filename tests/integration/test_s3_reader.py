"""Spack reads from S3 without boto3 where variables say how, and by boto3 where they do not, or where anything is odd."""

import contextlib
import http.client
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import botocore.exceptions
import pytest

from buildjob.spack import adapter
from tests.labs.s3.faulty_server import in_front_of
from tests.labs.s3.server import Server


def _load() -> ModuleType:
    found = importlib.util.spec_from_file_location("s3_reader", Path(adapter.__file__).parent / "inside/s3_reader.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


s3_reader = _load()


class Lab:
    """A bucket with one object, and a reader of it that notes when boto3 is made."""

    def __init__(self, server: Server, *, pair: tuple[str, str] | None = None) -> None:
        self.server, self.boto3_made = server, 0
        self.bucket = server.bucket()
        server.client().put_object(Bucket=self.bucket, Key="x/a b+c.json", Body=b"content")
        identifier, code = pair or (server.access_key, server.secret_key)
        self._connection = {"aws_access_key_id": identifier, "aws_secret_access_key": code}

    def reader(self, url: str = "") -> Any:
        def make() -> Any:
            self.boto3_made += 1
            client = self.server.client()
            client.ClientError = botocore.exceptions.ClientError
            return client

        def route(bucket: str) -> Any:
            arguments = {"endpoint_url": url or self.server.url, "use_ssl": True}
            return s3_reader.route_of(bucket, self._connection, arguments, {"HOME": "/nonexistent"})

        return s3_reader.Reader(make, route, lambda: 5.0)


def test_objects_are_read_and_asked_for_without_boto3(s3: Server) -> None:
    lab = Lab(s3)
    reader = lab.reader()
    got = reader.get_object(Bucket=lab.bucket, Key="x/a b+c.json")
    with got["Body"] as body:
        assert body.read() == b"content"
    assert got["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "7"
    head = reader.head_object(Bucket=lab.bucket, Key="x/a b+c.json")
    assert head["ResponseMetadata"]["HTTPHeaders"]["etag"] == got["ResponseMetadata"]["HTTPHeaders"]["etag"]
    for ask in (reader.get_object, reader.head_object):
        with pytest.raises(reader.ClientError) as raised:
            ask(Bucket=lab.bucket, Key="nothing")
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404
    with reader.get_object(Bucket=lab.bucket, Key="x/a b+c.json")["Body"] as body:
        assert [body.read(3), body.read(100), body.read(1)] == [b"con", b"tent", b""]
    assert lab.boto3_made == 0


@pytest.mark.parametrize("key", ["nothing", "x/a b+c.json"])
def test_wrong_credentials_are_boto3s_to_report(key: str, s3: Server) -> None:
    lab = Lab(s3, pair=("unknown", "wrong"))
    reader = lab.reader()
    with contextlib.suppress(reader.ClientError, botocore.exceptions.ClientError):
        reader.head_object(Bucket=lab.bucket, Key=key)
    with contextlib.suppress(botocore.exceptions.ClientError):
        reader.head_object(Bucket="no-such-bucket", Key=key)
    assert lab.boto3_made <= 1
    assert s3.name == "moto" or lab.boto3_made == 1, "moto takes all credentials"


def test_all_else_that_spack_does_is_boto3s(s3: Server) -> None:
    lab = Lab(s3)
    reader = lab.reader()
    assert [each["Key"] for each in reader.list_objects_v2(Bucket=lab.bucket)["Contents"]] == ["x/a b+c.json"]
    with pytest.raises(reader.ClientError):
        reader.get_object(Bucket=lab.bucket, Key="nothing")
    assert lab.boto3_made == 1


def _status(status: int) -> Callable[[Any], bool]:
    def answer(request: Any) -> bool:
        request.send_response_only(status)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"no")
        return True

    return answer


@pytest.mark.parametrize("status", [200, 204, 301, 403, 404, 500, 503])
def test_an_odd_answer_is_asked_for_again_by_boto3(status: int, s3: Server) -> None:
    lab = Lab(s3)
    with in_front_of(s3, _status(status)) as front:
        reader = lab.reader(front.url)
        assert reader.get_object(Bucket=lab.bucket, Key="x/a b+c.json")["Body"].read() == b"content"
    assert lab.boto3_made == 1
    assert not reader.had_no_answer


def test_a_server_that_does_not_answer_is_asked_once_and_then_by_boto3(s3: Server) -> None:
    lab = Lab(s3)
    reader = lab.reader("http://127.0.0.1:9")
    assert reader.head_object(Bucket=lab.bucket, Key="x/a b+c.json")
    assert reader.had_no_answer
    assert lab.boto3_made == 1


def test_a_body_that_is_cut_off_is_an_error(s3: Server) -> None:
    def cut(request: Any) -> bool:
        request.send_response_only(200)
        request.send_header("Content-Length", "100")
        request.send_header("ETag", '"e"')
        request.end_headers()
        request.wfile.write(b"only this")
        request.close_connection = True
        return True

    lab = Lab(s3)
    with in_front_of(s3, cut) as front:
        for take in (lambda body: body.read(), lambda body: [body.read(50), body.read(50)]):
            got = lab.reader(front.url).get_object(Bucket=lab.bucket, Key="x/a b+c.json")
            with got["Body"] as body, pytest.raises(http.client.IncompleteRead):
                take(body)


@pytest.mark.parametrize(
    "connection",
    [
        {"profile_name": "farm"},
        {"aws_access_key_id": "id"},
        {"aws_access_key_id": "id", "aws_secret_access_key": None},
        {"aws_access_key_id": "id", "aws_secret_access_key": "", "aws_session_token": "t"},
        {},  # from the variables, which have none
    ],
)
def test_credentials_of_another_kind_are_boto3s(connection: dict[str, str]) -> None:
    assert s3_reader.route_of("bucket", connection, {"endpoint_url": "http://h"}, {"HOME": "/nonexistent"}) is None


def test_credentials_come_from_the_configuration_or_from_variables() -> None:
    pair = {"aws_access_key_id": "id", "aws_secret_access_key": "code", "aws_session_token": "token"}
    variables = {"HOME": "/nonexistent", "AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "other"}
    endpoint = {"endpoint_url": "http://h"}
    assert s3_reader.route_of("bucket", pair, endpoint, variables).key[:3] == ("id", "code", "token")
    assert s3_reader.route_of("bucket", {}, endpoint, variables).key[:3] == ("other", "other", "")
