"""Runs inside Spack's own Python: what Spack reads from S3, without boto3, where a few variables say how.

boto3 takes a third of a second of a core to load, in each process that asks S3 for a single file. A client made here gets
objects and asks for them. All else, each answer that is neither the object nor its absence, and a server that does not
answer, is boto3's to deal with: it is loaded then. Written for Spack 1.1, 1.2.
Source: Spack 1.1, lib/spack/spack/util/s3.py: what Spack uses of a client.
"""

import http.client
import importlib.util
import io
import os
import re
import socket
import ssl
import urllib.parse


def _s3_plain():
    """The rules that are shared with our own S3 client: one file, which imports the standard library only."""
    folder = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = importlib.util.spec_from_file_location("spack_farm_s3_plain", os.path.join(folder, "s3_plain.py"))
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


s3_plain = _s3_plain()
CODE = re.compile(rb"<Code>([A-Za-z]{1,64})</Code>")
ABSENT = "NoSuchKey"
LONGEST_ERROR = 1 << 16


class TooSlow(socket.timeout):
    """A request is not done within its limit, although bytes come."""


class AbsentError(Exception):
    """There is no such object; `response` has what botocore's errors have."""

    def __init__(self, code):
        super().__init__("the object does not exist")
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 404}}


def route_of(bucket, connection, arguments, variables):
    """How boto3 would reach a bucket with what Spack gives to it; None if only boto3 can know."""
    if set(connection) - {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"}:
        return None
    key = None
    if connection:
        pair = [connection.get("aws_access_key_id"), connection.get("aws_secret_access_key")]
        if not all(pair):
            return None
        key = s3_plain.SigningKey(*pair, connection.get("aws_session_token") or "")
    endpoint = arguments.get("endpoint_url") or ""
    # http is the address's own word; `use_ssl` only says what an address without one means
    return s3_plain.static_route(bucket, variables, endpoint_url=endpoint, key=key)


class Reader:
    """What Spack uses of a boto3 client."""

    def __init__(self, boto3_client, route_of_bucket, seconds):
        """`boto3_client` makes the real one; `route_of_bucket` returns a route, or None for a bucket that needs it."""
        self._make, self._route, self._seconds = boto3_client, route_of_bucket, seconds
        self._client = None
        self._is_proven = set()
        self.had_no_answer = False

    @property
    def ClientError(self):  # noqa: N802  botocore's name
        """What to catch: ours, and boto3's where that was asked."""
        return (AbsentError,) if self._client is None else (AbsentError, self._client.ClientError)

    def __getattr__(self, name):
        return getattr(self._boto3(), name)

    def _boto3(self):
        if self._client is None:
            self._client = self._make()
        return self._client

    def get_object(self, Bucket, Key):  # noqa: N803  botocore's names
        answer, connection = self._ask("GET", Bucket, Key)
        if answer is None:
            return self._boto3().get_object(Bucket=Bucket, Key=Key)
        return {"Body": Body(answer, connection), "ResponseMetadata": {"HTTPHeaders": headers_of(answer)}}

    def head_object(self, Bucket, Key):  # noqa: N803
        answer, connection = self._ask("HEAD", Bucket, Key)
        if answer is None:
            return self._boto3().head_object(Bucket=Bucket, Key=Key)
        connection.close()
        return {"ResponseMetadata": {"HTTPHeaders": headers_of(answer)}}

    def _ask(self, method, bucket, key):
        """The answer that has the object, and its connection; None twice if boto3 is to ask. Raises AbsentError."""
        route = None if self._client is not None else self._route(bucket)
        if route is None:
            return None, None
        url = route.base_url + s3_plain.quoted(key)
        parts = urllib.parse.urlsplit(url)
        connection = None
        try:
            # one for each request, which ends with its answer: Spack may leave a body unread
            connection = self._connect(parts, route)
            signed = s3_plain.signed_headers(method, url, {}, key=route.key)
            connection.request(method, parts.path, headers={**signed, "Connection": "close"})
            answer = connection.getresponse()
            if answer.status == 200 and answer.headers["ETag"] and answer.headers["Content-Length"]:
                self._is_proven.add(bucket)
                return answer, connection
            text = answer.read(LONGEST_ERROR)
            connection.close()
        except TooSlow:
            raise
        except (OSError, http.client.HTTPException):
            if connection is not None:
                connection.close()
            self.had_no_answer = True
            return None, None
        code = CODE.search(text)
        if answer.status == 404 and code and code[1].decode() == ABSENT:
            self._is_proven.add(bucket)
            raise AbsentError(ABSENT)
        # a HEAD has no code: a server may say the same where it knows neither bucket nor credentials
        if answer.status == 404 and method == "HEAD" and bucket in self._is_proven:
            raise AbsentError("404")
        return None, None

    def _connect(self, parts, route):
        if parts.scheme == "http":
            return http.client.HTTPConnection(parts.netloc, timeout=self._seconds())
        trusted = ssl.create_default_context(cafile=route.ca_file)
        return http.client.HTTPSConnection(parts.netloc, timeout=self._seconds(), context=trusted)


class Body(io.RawIOBase):
    """An object's bytes; one that is cut off is an error, as for boto3: `http.client` does not notice."""

    def __init__(self, answer, connection):
        super().__init__()
        self._answer, self._connection = answer, connection
        self._left = int(answer.headers["Content-Length"])

    def readable(self):
        return True

    def read(self, size=-1):
        reads_all = size is None or size < 0
        data = self._answer.read() if reads_all else self._answer.read(size)
        self._left -= len(data)
        if self._left > 0 and (reads_all or (size and not data)):
            raise http.client.IncompleteRead(b"", self._left)
        return data

    def close(self):
        self._answer.close()
        self._connection.close()
        super().close()


def headers_of(answer):
    return {name.lower(): value for name, value in answer.getheaders()}
