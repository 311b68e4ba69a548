"""Promise: of AWS's instances only the one that is named ends, and no group that AWS itself shrinks is touched. On moto."""

import itertools
from collections.abc import Iterator
from typing import Any

import boto3
import moto
import pytest

from autoscaler.errors import BadRequest, CloudError, NotLeader
from autoscaler.hands.asg import AsgHand, faults_of, groups_of
from autoscaler.policy import InstanceType, Pool
from autoscaler.scale_plan import LaunchNodes, LowerDesired
from autoscaler.snapshot import Node, Size

_NUMBERS = itertools.count()
TYPE = "m5.large"
ZONES = ["us-east-1a", "us-east-1b"]


class Cloud:
    """A pool with one group, and AWS's own view of it."""

    def __init__(self) -> None:
        self.client: Any = boto3.client("autoscaling", region_name="us-east-1")
        self.ec2: Any = boto3.client("ec2", region_name="us-east-1")
        self.name = f"builds-{next(_NUMBERS)}"
        self.make(self.name)
        self.leads = True
        self.hand = self.another()

    def another(self, *, owner: str = "spack-farm", **options: str) -> AsgHand:
        pool = pool_of([TYPE], options or {"group": self.name})
        return AsgHand((pool,), owner=owner, client=self.client, ec2=self.ec2)

    def make(self, name: str, *, desired: int = 0, most: int = 10, owner: str = "spack-farm") -> None:
        self.client.create_auto_scaling_group(
            AutoScalingGroupName=name, LaunchConfigurationName="l", MinSize=0, MaxSize=most, DesiredCapacity=desired,
            AvailabilityZones=ZONES, NewInstancesProtectedFromScaleIn=True,
            Tags=[{"Key": "spack-farm.io/owner", "Value": owner, "PropagateAtLaunch": True}],
        )  # fmt: skip
        self.client.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["AZRebalance"])

    def group(self) -> Any:
        return self.client.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"][0]

    def instances(self) -> list[str]:
        return sorted(one["InstanceId"] for one in self.group()["Instances"])

    def launch(self, count: int, order: str = "o") -> None:
        line = LaunchNodes(
            pool="builds", type=TYPE, zone="", count=count, desired=count, reason="pending", message=""
        )  # fmt: skip
        self.hand.launch(line, order=order, fence=self.fence)

    def fence(self) -> None:
        if not self.leads:
            raise NotLeader("another controller leads")


@pytest.fixture(scope="module")
def aws() -> Iterator[None]:
    """Have one AWS for all tests: to make its catalog of machines takes seconds."""
    with pytest.MonkeyPatch.context() as patch, moto.mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        client = boto3.client("autoscaling", region_name="us-east-1")
        client.create_launch_configuration(LaunchConfigurationName="l", ImageId="ami-12c6146b", InstanceType=TYPE)
        yield


@pytest.fixture
def cloud(aws: None, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    del aws
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    return Cloud()


def pool_of(types: list[str], options: dict[str, str], zones: tuple[str, ...] = ("",)) -> Pool:
    kinds = tuple(InstanceType(name=name, allocatable=Size(), price_per_hour=1) for name in types)
    return Pool(name="builds", hand="asg", types=kinds, zones=zones, options=options)


def nodes(*instances: str) -> dict[str, Node]:
    return {one: Node(name=f"node-{one}", pool="builds", instance=one) for one in instances}


def test_an_order_raises_the_desired_capacity_and_counts_until_it_is_a_node(cloud: Cloud) -> None:
    cloud.hand.look({}, 0)
    cloud.launch(3)
    there = cloud.instances()
    view = cloud.hand.look(nodes(there[0]), 100)
    assert (view.pools[0].desired, view.pools[0].instances, view.pools[0].rejected) == (3, tuple(there), "")
    assert sorted(one.instance for one in view.launches) == there[1:]
    assert {(one.type, one.pool) for one in view.launches} == {(TYPE, "builds")}
    assert all(one.ordered_at > 1e9 for one in view.launches), "EC2 knows when they were launched"


def test_an_order_that_is_made_again_is_one_order(cloud: Cloud) -> None:
    cloud.hand.look({}, 0)
    for _ in range(3):
        cloud.launch(2, order="same")
    assert cloud.group()["DesiredCapacity"] == 2
    cloud.launch(2, order="next")
    assert cloud.group()["DesiredCapacity"] == 4


@pytest.mark.parametrize(("by_hand", "after"), [(7, 7), (2, 2), (0, 2)])
def test_a_group_that_was_edited_by_hand_is_only_ever_raised(cloud: Cloud, by_hand: int, after: int) -> None:
    """Somebody changes the number between the order and its repetition: to set ours again would end instances."""
    cloud.hand.look({}, 0)
    cloud.launch(2, order="same")
    cloud.client.set_desired_capacity(AutoScalingGroupName=cloud.name, DesiredCapacity=by_hand)
    cloud.launch(2, order="same")
    assert cloud.group()["DesiredCapacity"] == after


def test_no_order_goes_beyond_the_groups_own_maximum(cloud: Cloud) -> None:
    cloud.hand.look({}, 0)
    cloud.launch(99)
    assert cloud.group()["DesiredCapacity"] == 10
    cloud.launch(1, order="more")
    assert cloud.group()["DesiredCapacity"] == 10


def test_exactly_the_instance_that_is_named_ends_and_is_not_replaced(cloud: Cloud) -> None:
    cloud.hand.look({}, 0)
    cloud.launch(4)
    victim, *others = cloud.instances()
    cloud.hand.end("builds", victim, node="n", fence=cloud.fence)
    assert cloud.instances() == others
    assert cloud.group()["DesiredCapacity"] == 3
    state = cloud.ec2.describe_instances(InstanceIds=[victim])["Reservations"][0]["Instances"][0]["State"]["Name"]
    assert state in {"shutting-down", "terminated"}


def test_an_instance_that_is_gone_is_ended_already(cloud: Cloud) -> None:
    cloud.hand.look({}, 0)
    cloud.launch(2)
    victim = cloud.instances()[0]
    cloud.hand.end("builds", victim, node="n", fence=cloud.fence)
    cloud.hand.end("builds", victim, node="n", fence=cloud.fence)
    assert cloud.group()["DesiredCapacity"] == 1


def test_giving_up_orders_never_goes_below_what_exists(cloud: Cloud) -> None:
    """AWS would choose which instances end."""
    cloud.hand.look({}, 0)
    cloud.launch(4)
    before = cloud.instances()
    line = LowerDesired(pool="builds", desired=0, reason="no_capacity", message="")
    cloud.hand.lower(line, fence=cloud.fence)
    assert cloud.instances() == before
    assert cloud.group()["DesiredCapacity"] == 4


def test_instances_that_aws_could_take_are_protected(cloud: Cloud) -> None:
    cloud.hand.look({}, 0)
    cloud.launch(3)
    bare = cloud.instances()[:2]
    cloud.client.set_instance_protection(AutoScalingGroupName=cloud.name, InstanceIds=bare, ProtectedFromScaleIn=False)
    cloud.hand.look({}, 1)
    assert cloud.hand.protect(fence=cloud.fence) == 2
    assert all(one["ProtectedFromScaleIn"] for one in cloud.group()["Instances"])
    cloud.hand.look({}, 2)
    assert cloud.hand.protect(fence=cloud.fence) == 0
    cloud.client.set_instance_protection(AutoScalingGroupName=cloud.name, InstanceIds=bare, ProtectedFromScaleIn=False)
    stranger = cloud.another(owner="other")
    stranger.look({}, 3)
    assert stranger.protect(fence=cloud.fence) == 0, "another owner's group is left as it is"


def test_a_group_that_moves_instances_between_zones_is_rejected(cloud: Cloud) -> None:
    """AZRebalance ends busy instances: autoscaler#6107, #4988, #1508, kops#3319, elastic-ci-stack-for-aws#435."""
    cloud.client.resume_processes(AutoScalingGroupName=cloud.name, ScalingProcesses=["AZRebalance"])
    rejected = cloud.hand.look({}, 0).pools[0].rejected
    assert "AZRebalance" in rejected
    assert f"suspend-processes --auto-scaling-group-name {cloud.name}" in rejected


def test_a_group_of_another_controller_or_with_policies_or_without_protection_is_rejected(cloud: Cloud) -> None:
    assert "not 'other'" in cloud.another(owner="other").look({}, 0).pools[0].rejected
    cloud.client.put_scaling_policy(
        AutoScalingGroupName=cloud.name, PolicyName="p", PolicyType="SimpleScaling", AdjustmentType="ChangeInCapacity",
        ScalingAdjustment=-1,
    )  # fmt: skip
    assert "has scaling policies" in cloud.hand.look({}, 0).pools[0].rejected
    assert "does not exist" in cloud.another(group="nowhere").look({}, 0).pools[0].rejected


SOUND: dict[str, Any] = {
    "AutoScalingGroupName": "g", "AvailabilityZones": ZONES, "NewInstancesProtectedFromScaleIn": True,
    "SuspendedProcesses": [{"ProcessName": "AZRebalance"}], "Tags": [{"Key": "spack-farm.io/owner", "Value": "me"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, ""),
        ({"SuspendedProcesses": []}, "AZRebalance"),
        ({"SuspendedProcesses": [], "AvailabilityZones": ["us-east-1a"]}, ""),
        ({"NewInstancesProtectedFromScaleIn": False}, "protect"),
        ({"MaxInstanceLifetime": 86400}, "age"),
        ({"Tags": []}, "tag"),
        ({"Tags": [{"Key": "spack-farm.io/owner", "Value": "you"}]}, "tag"),
    ],
)
def test_by_what_aws_could_take_an_instance(change: dict[str, Any], word: str) -> None:
    faults = faults_of(SOUND | change, has_policies=False, owner="me")
    assert len(faults) == bool(word)
    assert all(word in fault for fault in faults)


def test_a_controller_that_no_longer_leads_changes_no_group(cloud: Cloud) -> None:
    cloud.hand.look({}, 0)
    cloud.launch(2)
    cloud.leads = False
    with pytest.raises(NotLeader):
        cloud.launch(1, order="x")
    with pytest.raises(NotLeader):
        cloud.hand.end("builds", cloud.instances()[0], node="", fence=cloud.fence)
    assert cloud.group()["DesiredCapacity"] == 2


def test_what_aws_rejects_is_said_with_the_group(cloud: Cloud) -> None:
    cloud.client.delete_auto_scaling_group(AutoScalingGroupName=cloud.name, ForceDelete=True)
    with pytest.raises(CloudError, match=f"group {cloud.name} does not exist"):
        cloud.launch(1)


@pytest.mark.parametrize(
    ("types", "options", "zones", "fault"),
    [
        (["a"], {}, ("",), 'set options."group.a"'),
        (["a", "b"], {"group": "g"}, ("",), "a group does not let us choose among 2 types"),
        (["a", "b"], {"group.a": "g", "group.b": "g"}, ("",), "named for two types"),
        (["a"], {"group.a.z1": "g"}, ("z1", "z2"), "type a has no group"),
    ],
)
def test_a_pool_whose_groups_are_ambiguous_is_a_bad_request(
    types: list[str], options: dict[str, str], zones: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(BadRequest, match=fault):
        groups_of(pool_of(types, options, zones))


def test_each_type_and_zone_may_have_a_group_of_its_own() -> None:
    options = {"group.a.z1": "a1", "group.a.z2": "a2", "group.b": "b"}
    found = groups_of(pool_of(["a", "b"], options, ("z1", "z2")))
    assert [(one.name, one.type, one.zone) for one in found] == [("a1", "a", "z1"), ("a2", "a", "z2"), ("b", "b", "")]
