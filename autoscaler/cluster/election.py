"""Which of several controllers acts: the holder of a Lease. The judgement needs no clock but its own monotonic one.

A follower takes the lease over when it has not *changed* for its duration, as measured here: the times that are written in
it are another machine's. Each change of holder raises `leaseTransitions`, the fencing token. Source: Kubernetes,
client-go/tools/leaderelection. The Python client's LeaseLock (since 36) does not count transitions, and its elector
compares wall clocks.
"""

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable

import msgspec

from autoscaler.cluster.api import Api
from autoscaler.errors import ClusterError, Conflict, NotFound, NotLeader
from autoscaler.outages import Outage

LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 15.0, 10.0, 2.0
_LOG = logging.getLogger("spack_farm.autoscaler")


class LeaseSpec(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """What is read of a lease; null counts as absent."""

    holder_identity: str | None = None
    lease_transitions: int | None = None
    renew_time: str | None = None
    acquire_time: str | None = None


class LeaseMeta(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """Of a lease."""

    resource_version: str = ""


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A lease."""

    metadata: LeaseMeta = LeaseMeta()
    spec: LeaseSpec = LeaseSpec()


class Election:
    """Our part in the election. `check` is the fence before each change."""

    def __init__(
        self,
        api: Api,
        *,
        name: str,
        identity: str,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`identity` must be another one for each process: a restarted controller is another candidate."""
        self.identity = identity
        self.obstacle = ""
        """Why the lease is not ours; "" if it is, or nothing is known yet."""
        self._api, self._name, self._monotonic, self._now = api, name, monotonic, now
        self._seen: Lease | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None
        self._token: int | None = None
        self._outage = Outage("the lease cannot be renewed", "the lease can be renewed again")
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)

    @property
    def is_leader(self) -> bool:
        """Whether the lease is ours and was renewed in time."""
        return self._renewed_at is not None and self._monotonic() - self._renewed_at < RENEW_SECONDS

    def start(self) -> None:
        """Take part until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Give the lease back, so that another controller needs not wait for it to run out."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(RETRY_SECONDS + 5)
        if self._renewed_at is not None:
            self._renewed_at = None
            try:
                lease = self._read()
                if lease is not None and lease.spec.holder_identity == self.identity:
                    self._write(lease, holder="")
            except ClusterError as error:
                _LOG.info("the lease was not given back", extra={"cause": str(error)})

    def check(self) -> None:
        """Raise NotLeader unless the API server itself says, now, that the lease is still ours, with the same token.

        It is asked before each change: a controller that was stopped for a minute must not carry out an old plan.
        """
        if not self.is_leader:
            raise NotLeader("the lease was not renewed in time")
        lease = self._read()
        if lease is None or lease.spec.holder_identity != self.identity or lease.spec.lease_transitions != self._token:
            self._renewed_at = None
            holder = lease.spec.holder_identity if lease else None
            raise NotLeader(f"the lease is held by {holder or 'no controller'}")
        if not self.is_leader:  # the answer took too long
            raise NotLeader("the lease was not renewed in time")

    def try_once(self) -> bool:
        """Renew the lease, or take it if it is free; return whether it is ours."""
        began = self._monotonic()
        try:
            taken = self._try()
        except ClusterError as error:
            self._outage.failed(error)
            self.obstacle = f"the lease {self._name} cannot be renewed: {error}"
            return self.is_leader
        self._outage.worked()
        if taken:
            if self._renewed_at is None:
                _LOG.info("leading", extra={"identity": self.identity, "token": self._token})
            self._renewed_at, self.obstacle = began, ""
        else:
            self._renewed_at = None
            holder = self._seen.spec.holder_identity if self._seen else None
            self.obstacle = f"the lease {self._name} is held by {holder or 'another controller'}, and only one may act"
        return taken

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                self.try_once()
            except Exception as error:  # noqa: BLE001  a bug here must not leave a leader that is none
                self._renewed_at = None
                self._outage.failed(error, is_bug=True)
            self._end.wait(RETRY_SECONDS)

    def _try(self) -> bool:
        lease = self._read()
        if lease is None:
            try:
                self._api.create_lease(self._body(holder=self.identity, transitions=0))
            except Conflict:
                return False
            self._token = 0
            return True
        if lease != self._seen:
            self._seen, self._seen_at = lease, self._monotonic()
        holder = lease.spec.holder_identity
        if holder and holder != self.identity and self._monotonic() - self._seen_at < LEASE_SECONDS:
            return False
        try:
            self._write(lease, holder=self.identity)
        except (Conflict, NotFound):
            return False
        return True

    def _read(self) -> Lease | None:
        try:
            content = self._api.get_lease(self._name)
        except NotFound:
            return None
        try:
            return msgspec.json.decode(content, type=Lease)
        except msgspec.MsgspecError as error:
            raise ClusterError(f"the lease {self._name} cannot be read: {error}") from error

    def _write(self, lease: Lease, *, holder: str) -> None:
        transitions = lease.spec.lease_transitions or 0
        if holder != lease.spec.holder_identity and holder:
            transitions += 1
        acquired = lease.spec.acquire_time if holder == lease.spec.holder_identity else None
        body = self._body(holder=holder, transitions=transitions, acquired=acquired, version=lease.metadata.resource_version)
        self._api.replace_lease(self._name, body)
        if holder:
            self._token = transitions

    def _body(self, *, holder: str, transitions: int, acquired: str | None = None, version: str = "") -> dict[str, object]:
        at = dt.datetime.fromtimestamp(self._now(), tz=dt.UTC)
        # The client writes a time anew, a whole second without its fraction, and the server then rejects it: never whole.
        now = at.replace(microsecond=max(at.microsecond, 1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        metadata = {"name": self._name} | ({"resourceVersion": version} if version else {})
        spec = {
            "holderIdentity": holder,
            "leaseDurationSeconds": int(LEASE_SECONDS),
            "acquireTime": acquired or now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
