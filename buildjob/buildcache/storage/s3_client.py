"""How boto3's client is made, and what can be learned from it: with `s3`, the only module that knows boto3.

What takes long, boto3's descriptions of services, is loaded once in a process; what each request need not do is left out.
"""

import functools
import io
import ssl
import threading
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.handlers
import botocore.httpsession
import botocore.loaders
import botocore.session
import botocore.utils
from botocore.config import Config

from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.s3_fast_path import ShortWay, Way, learned


@functools.cache
def _loader() -> Any:
    """Return what reads boto3's descriptions of services: a fifth of a second, once in a process."""
    return botocore.loaders.create_loader()


def prepare() -> None:
    """Load what every client needs, so that the first one is there at once. Reads no credentials and connects to nothing."""
    nobody = {
        "aws_access_key_id": "nobody",
        "aws_secret_access_key": "nothing",
    }  # else it looks for some, on the net at last
    _bare_session().create_client("s3", region_name="us-east-1", **nobody)


def _bare_session() -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    return session


class Client:
    """A client of boto3 for one bucket's server. Raises BotoCoreError or ValueError where the access makes no sense."""

    def __init__(self, access: Access, *, like: "Client | None" = None) -> None:
        """`like` is a client with the same access, whose credentials need not be looked up again."""
        self._access = access
        self._bare: Any
        self._session: Any
        if like:
            self._bare, self._session = like._bare, like._session  # noqa: SLF001  the same class
        else:
            self._bare = _bare_session()
            self._session = boto3.session.Session(
                profile_name=access.profile, region_name=access.region, botocore_session=self._bare
            )
        self._sent = threading.local()
        self.boto3 = self._session.client(
            "s3",
            endpoint_url=access.endpoint_url,
            region_name=access.region or self._session.region_name or "us-east-1",
            verify=access.ca_file,
            config=Config(
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=access.connections,
                retries={"total_max_attempts": 1},  # `with_retries` tries again: it knows what may repeat
                request_checksum_calculation="when_required",  # ours is SHA-256; theirs needs trailers few servers know
                response_checksum_validation="when_required",  # what is content-addressed is checked here
                parameter_validation=False,  # of types that mypy has checked
                s3={"addressing_style": "path"} if access.path_style else {},
            ),
        )
        events = self.boto3.meta.events
        events.unregister("before-call.s3", botocore.handlers.add_expect_header)
        events.register("before-call.s3", _ask_before_files)
        events.register("before-send.s3", self._note)

    def short_way(self, key: str) -> ShortWay | None:
        """Return the way of this thread's last request, which was for the key and was answered well; None if it is unfit."""
        url, authorization = getattr(self._sent, "last", ("", ""))
        way = learned(url, authorization, key)
        if way is None or way.service != "s3" or url.partition(":")[0] in botocore.utils.get_environ_proxies(url):
            return None
        return ShortWay(way, self._signed, self._tls() if url.startswith("https:") else None)

    def _note(self, request: Any, **_: Any) -> None:
        """Remember what is about to be sent."""
        said = request.headers.get("Authorization", b"")
        self._sent.last = (request.url, said.decode() if isinstance(said, bytes) else said)

    def _signed(self, way: Way, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        credentials = self._session.get_credentials().get_frozen_credentials()
        request = botocore.awsrequest.AWSRequest(method, url, dict(headers), body)
        request.context["client_config"] = self.boto3.meta.config
        botocore.auth.S3SigV4Auth(credentials, way.service, way.region).add_auth(request)
        return dict(request.headers.items())

    def _tls(self) -> ssl.SSLContext:
        """Return what trusts whom boto3 trusts."""
        trusted = self._access.ca_file or self._bare.get_config_variable("ca_bundle")
        return ssl.create_default_context(cafile=trusted or botocore.httpsession.get_cert_path(verify=True))


def _ask_before_files(params: dict[str, Any], **rest: Any) -> None:
    """Have only files ask the server first whether they may come: for what is small that doubles the ways there and back.

    boto3 makes a BytesIO of what is bytes, and asks for that too.
    """
    if not isinstance(params.get("body"), io.BytesIO):
        botocore.handlers.add_expect_header(params=params, **rest)
