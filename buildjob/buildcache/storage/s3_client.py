"""Makes boto3's clients: loads what is slow to load once in a process, and leaves out what a request need not do."""

import functools
import http
import io
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import boto3
import botocore.exceptions
import botocore.handlers
import botocore.loaders
import botocore.session
from botocore.config import Config

from buildjob.buildcache.storage.access import Access


@functools.cache
def _loader() -> Any:
    """Return what reads boto3's descriptions of services: a fifth of a second, once in a process."""
    return botocore.loaders.create_loader()


def prepare() -> None:
    """Load what every client needs, so that the first one is made quickly. Reads no credentials and connects to nothing."""
    # without credentials boto3 would search for some, in the end on the network
    made_up = {"aws_access_key_id": "nobody", "aws_secret_access_key": "nothing"}
    _botocore_session().create_client("s3", region_name="us-east-1", **made_up)


def _botocore_session() -> Any:
    session = botocore.session.Session()
    session.register_component("data_loader", _loader())
    return session


class Client:
    """boto3's client for one bucket's server. Raises BotoCoreError or ValueError if the access makes no sense."""

    def __init__(self, access: Access, *, like: "Client | None" = None) -> None:
        """`like` is a client with the same access, whose credentials need not be looked up again."""
        self.access = access
        self.botocore_session: Any
        self.session: Any
        if like:
            self.botocore_session, self.session = like.botocore_session, like.session
        else:
            self.botocore_session = _botocore_session()
            self.session = boto3.session.Session(
                profile_name=access.profile, region_name=access.region, botocore_session=self.botocore_session
            )
        self.boto3: Any = self.session.client(
            "s3",
            endpoint_url=access.endpoint_url,
            region_name=access.region or self.session.region_name or "us-east-1",
            verify=access.ca_file,
            config=Config(
                connect_timeout=access.connect_seconds,
                read_timeout=access.answer_seconds,
                max_pool_connections=access.connections,
                retries={"total_max_attempts": 1},  # `with_retries` does it: it knows what may be sent again
                request_checksum_calculation="when_required",  # ours is SHA-256; theirs needs trailers few servers know
                response_checksum_validation="when_required",  # what is content-addressed is checked here
                parameter_validation=False,  # of types that mypy has checked
                s3={"addressing_style": "path"} if access.path_style else {},
            ),
        )
        self.server = without_userinfo(str(self.boto3.meta.endpoint_url))
        """The address that is asked: an option's, a variable's, a profile's, or AWS's own."""
        events = self.boto3.meta.events
        events.unregister("before-call.s3", botocore.handlers.add_expect_header)
        events.register("before-call.s3", _expect_continue_for_files)
        events.register("needs-retry.s3.HeadBucket", _take_region_from_first_answer)


def without_userinfo(url: str) -> str:
    """Return an address without user name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _expect_continue_for_files(params: dict[str, Any], **rest: Any) -> None:
    """Ask the server before the body is sent (Expect: 100-continue) only if the body is a file.

    For a small body that doubles the round trips. boto3 wraps bytes in a BytesIO and would ask for these too.
    """
    if not isinstance(params.get("body"), io.BytesIO):
        botocore.handlers.add_expect_header(params=params, **rest)


def _take_region_from_first_answer(response: Any = None, **_: Any) -> None:
    """End botocore's question for a bucket's region with the first answer.

    botocore asks it by HeadBucket if a request is redirected. If that is redirected as well, as by a login page, it asks
    again, without end.
    """
    if response is not None and response[0].status_code >= http.HTTPStatus.MULTIPLE_CHOICES:
        raise botocore.exceptions.ClientError(response[1], "HeadBucket")
