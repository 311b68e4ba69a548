"""Promise: with AWS's groups, too, only idle instances end, also while somebody edits the group. AWS is moto."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

import boto3
import moto
import pytest
from botocore.client import BaseClient

from autoscaler.deciding.decide import decide
from autoscaler.policy import InstanceType, Policy, Pool, ScaleIn
from autoscaler.service.run import Controller
from autoscaler.service.settings import Service
from autoscaler.snapshot import Size
from tests.labs.nodes.control_plane import ApiFault
from tests.labs.nodes.objects import node
from tests.labs.nodes.plugin import NodesLab
from tests.labs.waiting import wait_until

TYPE, ZONES = "m5.2xlarge", ["us-east-1a", "us-east-1b"]
CORES, GIB = 8, 1 << 30


class Group:
    """A group, and what a cloud's own controller does: an instance becomes a node, and a node without one is deleted."""

    def __init__(self, farm: NodesLab, lock: threading.RLock) -> None:
        self.farm, self.name, self.lock = farm, farm.name, lock
        self.client: Any = boto3.client("autoscaling", region_name="us-east-1")
        self.client.create_launch_configuration(LaunchConfigurationName="l", ImageId="ami-12c6146b", InstanceType=TYPE)
        self.client.create_auto_scaling_group(
            AutoScalingGroupName=self.name, LaunchConfigurationName="l", MinSize=0, MaxSize=5, DesiredCapacity=0,
            AvailabilityZones=ZONES, NewInstancesProtectedFromScaleIn=True,
            Tags=[{"Key": "spack-farm.io/owner", "Value": "spack-farm", "PropagateAtLaunch": True}],
        )  # fmt: skip
        self.suspend()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def suspend(self) -> None:
        self.client.suspend_processes(AutoScalingGroupName=self.name, ScalingProcesses=["AZRebalance"])

    def group(self) -> Any:
        return self.client.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"][0]

    def desired(self) -> int:
        return int(self.group()["DesiredCapacity"])

    def instances(self) -> set[str]:
        return {one["InstanceId"] for one in self.group()["Instances"]}

    def edit(self, desired: int) -> None:
        """Change the number as a person does, and see that it was followed before another call can be."""
        with self.lock:
            self.client.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=desired, HonorCooldown=False)
            assert len(self.instances()) == desired

    def run(self) -> None:
        while not self.over.wait(0.3):
            # locked: an instance that ends meanwhile becomes no node afterwards; a busy API server resets and refuses
            with self.lock, contextlib.suppress(OSError, HTTPException, ApiFault):
                self.follow()

    def follow(self) -> None:
        there = self.farm.nodes()
        machines = {one["spec"]["providerID"].rpartition("/")[2]: name for name, one in there.items()}
        instances = self.instances()
        for instance in instances - machines.keys():
            body = node(
                f"{self.name}-{instance}", pool=self.name, cpu=str(CORES), memory="32Gi",
                labels={"farm": self.name, "node.kubernetes.io/instance-type": TYPE},
            )  # fmt: skip
            body["spec"]["providerID"] = f"aws:///{ZONES[0]}/{instance}"
            self.farm.plane.raw("POST", "/api/v1/nodes", body)
        for instance in machines.keys() - instances:
            self.farm.plane.raw("DELETE", f"/api/v1/nodes/{machines[instance]}")


@pytest.fixture
def group(farm: NodesLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Group]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    lock, call = threading.RLock(), BaseClient._make_api_call  # noqa: SLF001  the one way of all calls

    def one_at_a_time(client: BaseClient, *arguments: Any) -> Any:
        with lock:
            return call(client, *arguments)

    with moto.mock_aws():
        monkeypatch.setattr(BaseClient, "_make_api_call", one_at_a_time)  # moto's state is for one thread
        made = Group(farm, lock)
        yield made
        made.over.set()
        made.thread.join()


@pytest.fixture
def controller(farm: NodesLab, group: Group) -> Iterator[Controller]:
    kind = InstanceType(name=TYPE, allocatable=Size(cpu_millicores=1000 * CORES, memory_bytes=32 * GIB), price_per_hour=1.0)
    pool = Pool(
        name=farm.name, hand="asg", types=(kind,), labels={"farm": farm.name}, boot_seconds=20, most_nodes=5,
        options={"group": group.name, "region": "us-east-1"},
    )  # fmt: skip
    looks = ScaleIn(idle_seconds=1.0, confirm_seconds=2.0)
    policy = Policy(pools=(pool,), scale_in=looks, tick_seconds=0.5)
    service = Service(
        kubeconfig=str(farm.kubeconfig()), namespace=farm.name, listen="", job_labels=farm.job_labels, events=False
    )
    made = Controller(policy, service, decide)
    made._scaler._wait_seconds = 2.0  # noqa: SLF001  less than any settings allow: the test waits for it
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield made
    made.stop()
    thread.join()


@pytest.mark.timeout(300)
def test_a_group_that_somebody_edits_loses_its_idle_instances_and_no_other(
    farm: NodesLab, group: Group, controller: Controller
) -> None:
    del controller

    def waits_for(name: str) -> str:
        """Return the reason that is written on a pod."""
        text = farm.pods()[name]["metadata"].get("annotations", {}).get("spack-farm.io/waiting", "{}")
        return str(json.loads(text).get("reason"))

    for number in range(2):
        farm.add_job(f"j{number}", cpu="3")
    wait_until(lambda: all(farm.phase(f"j{number}") == "Running" for number in range(2)))
    busy = group.instances()
    assert (group.desired(), len(busy)) == (1, 1), "two jobs on one instance, ordered once"

    group.edit(3)
    wait_until(lambda: group.instances() == busy and len(farm.nodes()) == 1)
    assert group.desired() == 1, "what somebody has added goes when it is idle, and AWS starts no other"

    group.client.resume_processes(AutoScalingGroupName=group.name, ScalingProcesses=["AZRebalance"])
    wait_until(lambda: "AZRebalance" not in str(group.group()["SuspendedProcesses"]))
    farm.add_job("late", cpu="7")
    wait_until(lambda: waits_for("late") == "pool_at_limit")
    assert group.instances() == busy, "a group from which AWS takes instances is not used"
    group.suspend()
    wait_until(lambda: farm.phase("late") == "Running")
    assert all(farm.phase(f"j{number}") == "Running" for number in range(2))

    farm.plane.raw("DELETE", f"/api/v1/namespaces/{farm.name}/pods", {"gracePeriodSeconds": 0})
    wait_until(lambda: not group.instances() and not farm.nodes())
    assert group.desired() == 0
