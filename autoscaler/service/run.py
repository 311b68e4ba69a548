"""`spack-farm autoscaler run`: observe, decide, apply, every few seconds, while this controller holds the lease.

A controller that does not lead reads along, so that it can take over with what it knows. TERM ends the line that is being
carried out, gives the lease back, and ends with 0. What one decision leaves to the next is kept in memory only: after a
restart a node is seen idle anew before it goes.
"""

import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from autoscaler.cluster.api import connect
from autoscaler.cluster.election import Election
from autoscaler.cluster.reading import Selection
from autoscaler.errors import AutoscalerError, ClusterUnavailable, NotLeader
from autoscaler.hands.hand import Hand
from autoscaler.hands.table import hands_of
from autoscaler.lookahead.gitlab import GitLabQueue
from autoscaler.lookahead.graphs import Graphs
from autoscaler.lookahead.owners import Owners
from autoscaler.lookahead.store import open_store
from autoscaler.outages import Outage
from autoscaler.policy import Policy
from autoscaler.scale_plan import ScalePlan
from autoscaler.service.apply import Applier
from autoscaler.service.buffers import Buffers
from autoscaler.service.events import Events
from autoscaler.service.hints import Hints
from autoscaler.service.log import LOGGER, start_log
from autoscaler.service.metrics import Metrics
from autoscaler.service.observe import Observer
from autoscaler.service.placeholders import Placeholders
from autoscaler.service.record import Recorder
from autoscaler.service.scale_in import Scaler
from autoscaler.service.settings import Service, read_service
from autoscaler.service.waiting import WaitingNotes
from autoscaler.service.web import Web
from autoscaler.settings import Settings
from autoscaler.snapshot import Ledger, Snapshot

_ONCE_SECONDS = 30.0
"""With `once`, what hinders the decision ends the run after it; a lease that was left behind is free before it."""
_STUCK_TICKS, _STUCK_SECONDS = 5, 60.0
_REASONS_SECONDS = 3.0
"""Between two decisions, so often pods that have changed get their reasons: a job is to know it within ten seconds."""
_REASONS_SHARE = 5.0
"""Where a decision takes long, reasons are found at most for one part in so many of the time."""
_LOG = logging.getLogger(LOGGER)


Decide = Callable[[Snapshot, Policy, float], ScalePlan]


def run(settings: Settings, decide: Decide, *, once: bool = False) -> int:
    """Run the service until TERM or INT; with `once` for one decision. Return 0.

    Raises SettingsError, BadRequest; with `once` ClusterUnavailable, if no plan could be carried out.
    """
    service = read_service(settings.service)
    start_log()
    controller = Controller(settings.policy, service, decide)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, controller.asked_to_stop)
    return controller.run(once=once)


class Controller:
    """One running service."""

    def __init__(self, policy: Policy, service: Service, decide: Decide, *, clock: Callable[[], float] = time.time) -> None:
        """Connect, and make all parts; nothing is read or changed yet. Raises BadRequest."""
        self._policy, self._decide = policy, decide
        self._api = connect(service.kubeconfig, namespace=service.namespace)
        # Another identity for each process: a restarted controller must not take itself for the one that was killed.
        self.identity = f"{os.uname().nodename}-{uuid.uuid4().hex[:12]}"
        self.metrics = Metrics(service.job_labels)
        self.election = Election(self._api, name=service.lease, identity=self.identity)
        hands: dict[str, Hand] = {}
        if policy.mode == "nodes":
            hands = hands_of(policy.pools, self._api, owner=service.owner)
        self._graphs = Graphs(open_store(service.graphs, endpoint_url=service.endpoint_url)) if service.graphs else None
        gitlab = GitLabQueue(service.gitlab) if service.gitlab.url else None
        selection = Selection(
            job_labels=service.job_labels,
            startup_taints=service.all_startup_taints,
            pools=frozenset(pool.name for pool in policy.pools),
        )
        self._waiting = WaitingNotes(self._api) if service.annotate_waiting else None
        self._observer = Observer(
            self._api, selection, hands=hands, graphs=self._graphs, gitlab=gitlab,
            owners=Owners(service.gitlab, clock=clock), metrics=self.metrics, clock=clock,
            pod_changed=self._waiting.pod_changed if self._waiting else _silent,
        )  # fmt: skip
        self._scaler = Scaler(self._api, policy.scale_in, identity=self.identity, tick_seconds=policy.tick_seconds)
        events = Events(self._api, identity=self.identity)
        self._applier = Applier(
            self._api, self._scaler, hands=hands, policy=policy, metrics=self.metrics,
            tell=events.tell if service.events else _silent,
        )  # fmt: skip
        self._hints: Hints | None = None
        if policy.mode == "hints":
            room = (Buffers if service.placeholders == "buffers" else Placeholders)(self._api, owner=service.owner)
            self._hints = Hints(room, policy, metrics=self.metrics)
        self._recorder = Recorder(Path(service.record_folder), count=service.record_count) if service.record_folder else None
        self._end = threading.Event()
        self._ticked_at = time.monotonic()
        self._outage = Outage("no decision was carried out", "decisions are carried out again")
        self._unexplained = Outage("why pods wait was not written", "why pods wait is written again")
        self._unrecorded = Outage("the Snapshot cannot be kept, see service.record_folder", "Snapshots are kept again")
        self._ledger = Ledger()
        self._seen: Snapshot | None = None
        """What the last decision was made on; None if this controller does not act."""
        self._obstacle = ""
        """Why the last decision was not carried out."""
        self._changes, self._decide_seconds = 0, 0.0
        self.web = Web(service.listen, metrics=self.metrics.text, health=self.illness) if service.listen else None

    def asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        """End soon: a signal's handler."""
        del number, frame
        self._end.set()

    def stop(self) -> None:
        """End soon."""
        self._end.set()

    def illness(self) -> str:
        """Return why the service is to be restarted; "" if it is well. That the cluster does not answer is no illness."""
        stuck_seconds = max(_STUCK_TICKS * self._policy.tick_seconds, _STUCK_SECONDS)
        passed = time.monotonic() - self._ticked_at
        return f"no decision was begun for {passed:.0f} s" if passed > stuck_seconds else ""

    def run(self, *, once: bool = False) -> int:
        """Run until stopped; with `once` until one plan was carried out. Raises ClusterUnavailable, with `once` only."""
        pools = ", ".join(pool.name for pool in self._policy.pools)
        _LOG.info("started", extra={"identity": self.identity, "mode": self._policy.mode, "pools": pools})
        if self.web:
            self.web.start()
        self._observer.start()
        self.election.start()
        started = time.monotonic()
        try:
            while not self._end.is_set():
                began = time.monotonic()
                self._ticked_at = began
                carried_out = self.tick()
                if once and carried_out:
                    break
                if once and began - started > _ONCE_SECONDS and (cause := self._hindrance()):
                    raise ClusterUnavailable(f"nothing was carried out within {began - started:.0f} s: {cause}")
                self._wait(until=began + (self._policy.tick_seconds if self._observer.is_ready else 0.2))
        finally:
            self._observer.stop()
            if self._graphs:
                self._graphs.stop()
            self.election.stop()
            if self.web:
                self.web.stop()
        _LOG.info("ended", extra={"identity": self.identity})
        return 0

    def _hindrance(self) -> str:
        """Return why nothing could be carried out; "" while that is not known: a large cluster is read slowly."""
        if self._observer.is_ready:
            return self.election.obstacle or self._obstacle
        return self._observer.fault

    def _wait(self, *, until: float) -> None:
        """Wait for the next decision; meanwhile, pods that have changed get their reasons."""
        while (left := max(until - time.monotonic(), 0.1)) and not self._end.is_set():
            pause = max(_REASONS_SECONDS, _REASONS_SHARE * self._decide_seconds)
            if left <= pause or self._waiting is None:
                self._end.wait(left)
                return
            self._end.wait(pause)
            is_news = self._observer.changes != self._changes or self._observer.is_mounting
            if self._seen is not None and is_news and not self._end.is_set():
                self._explain(self._seen)

    def _explain(self, seen: Snapshot) -> None:
        """Write the reasons of a decision that is not carried out: orders wait for the next one."""
        self._changes = self._observer.changes
        try:
            snapshot = self._observer.refreshed(seen)
            began = time.monotonic()
            plan = self._decide(snapshot, self._policy, snapshot.taken_at)
            self._decide_seconds = time.monotonic() - began
            self._write_reasons(plan, snapshot)
        except NotLeader:
            self._seen = None
        except AutoscalerError as error:
            self._unexplained.failed(error)
        except Exception as error:  # noqa: BLE001  a bug that one odd object brings out must not end the service
            self.metrics.fault("waiting")
            self._unexplained.failed(error, is_bug=True)
        else:
            self._unexplained.worked()

    def _write_reasons(self, plan: ScalePlan, snapshot: Snapshot) -> None:
        if self._waiting and not self._end.is_set() and not self._policy.dry_run:
            self._waiting.write(plan.waiting, snapshot.pods, now=snapshot.taken_at, fence=self.election.check)

    def tick(self) -> bool:
        """Decide once, and carry the plan out, if this controller leads; return whether it did."""
        is_leader = self.election.is_leader
        self.metrics.leader.set(is_leader)
        self._seen = None
        if not self._observer.is_ready:
            return False
        if not is_leader:
            self._ledger = Ledger()
            return False
        try:
            self._changes = self._observer.changes
            snapshot = self._observer.observe(self._ledger)
            self._scaler.note_cordons(snapshot.nodes)
            plan = self._decided(snapshot)
            self._record(snapshot)
            self._carry_out(plan, snapshot)
        except NotLeader as error:
            _LOG.warning("stopped in the middle of a plan", extra={"cause": str(error)})
            self._ledger = Ledger()
            return False
        except AutoscalerError as error:
            self.metrics.fault("tick")
            self._outage.failed(error)
            self._obstacle = str(error)
            return False
        except Exception as error:  # noqa: BLE001  a bug that one odd object brings out must not end the service
            self.metrics.fault("tick")
            self._outage.failed(error, is_bug=True)
            self._obstacle = "a decision failed; the log has the fault"
            return False
        self._outage.worked()
        self._ledger, self._seen = plan.ledger, snapshot
        return True

    def _decided(self, snapshot: Snapshot) -> ScalePlan:
        began = time.monotonic()
        plan = self._decide(snapshot, self._policy, snapshot.taken_at)
        self._decide_seconds = time.monotonic() - began
        self.metrics.decide.observe(self._decide_seconds)
        self.metrics.observed(snapshot, plan, self._policy)
        return plan

    def _record(self, snapshot: Snapshot) -> None:
        if self._recorder:
            try:
                self._recorder.keep(snapshot)
            except OSError as error:
                self.metrics.fault("record")
                self._unrecorded.failed(error)
            else:
                self._unrecorded.worked()

    def _carry_out(self, plan: ScalePlan, snapshot: Snapshot) -> None:
        fence = self.election.check
        if self._hints:
            self._hints.apply(plan, snapshot, fence=fence)
        else:
            self._applier.apply(plan, fence=fence, stopped=self._end.is_set)
        self._write_reasons(plan, snapshot)


def _silent(*_: object) -> None:
    pass
