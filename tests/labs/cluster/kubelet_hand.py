"""A controller of the autoscaler whose only machine is the cluster's real kubelet: an order starts it, an end stops it.

usage: python -m tests.labs.cluster.kubelet_hand SETTINGS HOME PROGRAMS INIT
The last three are those of a running cluster. A pool of the settings has the hand `kwok`, in whose place this one is.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from autoscaler.cluster.api import Api
from autoscaler.deciding.decide import decide
from autoscaler.hands import table
from autoscaler.hands.hand import Fence, View
from autoscaler.hands.recent import Recent
from autoscaler.policy import Pool
from autoscaler.scale_plan import LaunchNodes, LowerDesired
from autoscaler.service.run import run
from autoscaler.settings import read_settings
from autoscaler.snapshot import Launch, Node, PoolState
from tests.labs.cluster.cluster import Cluster

NODE = "node1"


class KubeletHand:
    """The hand."""

    def __init__(self, api: Api, pool: Pool, cluster: Cluster) -> None:
        self._api, self._pool, self._cluster, self._recent = api, pool.name, cluster, Recent()

    def look(self, nodes: Mapping[str, Node], now: float) -> View:
        """Return the one machine. A node that has just joined gets the pool's label, as a launch template gives it."""
        there = {NODE} & nodes.keys()
        if there and nodes[NODE].pool != self._pool:
            self._api.patch_node(NODE, {"metadata": {"labels": {"spack-farm.io/pool": self._pool}}})
        launches = self._recent.settle(shown=there, fulfilled=there, now=now)
        desired = len(there) + len(launches)
        return View(pools=(PoolState(name=self._pool, desired=desired, instances=tuple(there), most=1),), launches=launches)

    def launch(self, line: LaunchNodes, *, order: str, fence: Fence) -> None:
        """Start the kubelet."""
        del order
        fence()
        self._cluster.start("kubelet")
        self._recent.add(Launch(id=NODE, pool=line.pool, type=line.type, ordered_at=time.time(), instance=NODE))

    def end(self, pool: str, instance: str, *, node: str, fence: Fence) -> None:
        """Stop the kubelet, and then delete its node: a kubelet that runs would register it anew."""
        del pool, instance, node
        fence()
        self._recent.forget(NODE)
        stop_kubelet(self._cluster)
        self._api.delete_node(NODE)

    def cancel(self, pool: str, launch: str, *, fence: Fence) -> None:
        """Stop it before it has joined."""
        self.end(pool, launch, node="", fence=fence)

    def protect(self, *, fence: Fence) -> int:
        """Do nothing: nothing else ends the machine."""
        del fence
        return 0

    def lower(self, line: LowerDesired, *, fence: Fence) -> None:
        """Do nothing: there is no number to lower."""


def stop_kubelet(cluster: Cluster) -> None:
    """Kill the kubelet; one that does not run is stopped already."""
    try:
        cluster.signal("kubelet", signal.SIGKILL)
    except subprocess.CalledProcessError:
        return


def main() -> int:
    """Run the service."""
    settings, home, programs, init = sys.argv[1:]
    cluster = Cluster(Path(home), Path(programs), int(init))

    def make(api: Api, pools: tuple[Pool, ...], owner: str) -> KubeletHand:
        del owner
        return KubeletHand(api, pools[0], cluster)

    table._MAKE["kwok"] = make  # noqa: SLF001  the only place where a hand is chosen
    return run(read_settings(Path(settings)), decide)


if __name__ == "__main__":
    sys.exit(main())
