"""How requests of our own must look, learned from one of boto3's that the server has accepted; boto3's signer signs them.

For all that `s3_plain` leaves to boto3: credentials that expire, AWS's own addresses, profiles.
"""

import functools
import ssl
import threading
from collections.abc import Mapping
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.httpsession
import botocore.utils

from buildjob.buildcache.storage.s3 import S3Store
from buildjob.buildcache.storage.s3_direct import DirectConnections, Route, route_of


class Learner:
    """Watches what boto3 sends for one store."""

    def __init__(self, plain: S3Store) -> None:
        self.plain = plain
        self._client = plain.client
        self._sent = threading.local()
        self._client.boto3.meta.events.register("before-send.s3", self._note)

    def learn(self, key_in_bucket: str) -> DirectConnections | None:
        """Return connections like that of the request for this key that this thread's boto3 has just sent, and got through.

        None if it cannot be imitated.
        """
        url: str = getattr(self._sent, "url", "")
        route = route_of(url, getattr(self._sent, "authorization", ""), key_in_bucket)
        if route is None or route.service != "s3" or url.partition(":")[0] in botocore.utils.get_environ_proxies(url):
            return None
        tls = self._tls() if url.startswith("https:") else None
        return DirectConnections(route.base_url, functools.partial(self._signed, route), tls, is_proven=True)

    def reopened(self) -> "Learner":
        """Return one for the same store with connections of its own."""
        return Learner(self.plain.reopened())

    def _note(self, request: Any, **_: Any) -> None:
        """Remember, for this thread, the request that boto3 is about to send."""
        authorization = request.headers.get("Authorization", b"")
        self._sent.url = request.url
        self._sent.authorization = authorization.decode() if isinstance(authorization, bytes) else authorization

    def _signed(self, route: Route, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        """Return the headers with boto3's signature; it renews credentials that expire."""
        credentials = self._client.session.get_credentials().get_frozen_credentials()
        request = botocore.awsrequest.AWSRequest(method, url, dict(headers), body)
        request.context["client_config"] = self._client.boto3.meta.config
        botocore.auth.S3SigV4Auth(credentials, route.service, route.region).add_auth(request)
        return dict(request.headers.items())

    def _tls(self) -> ssl.SSLContext:
        """Return a context that trusts the authorities that boto3 trusts."""
        trusted = self._client.access.ca_file or self._client.botocore_session.get_config_variable("ca_bundle")
        return ssl.create_default_context(cafile=trusted or botocore.httpsession.get_cert_path(verify=True))
