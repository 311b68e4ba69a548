"""The hand `asg`: AWS Auto Scaling groups. It raises a desired capacity, and ends exactly the instance that is named.

A group that AWS itself may take instances from is rejected: AZRebalance, scaling policies, a maximum lifetime, no scale-in
protection. Lowering the desired capacity lets AWS choose the instance, so it is never lowered below what exists. Source: AWS
Auto Scaling API, 2011-01-01; terms of AWS: `InService`, `Terminating`, activity, scale-in protection.

Options of a pool: `group`, or `group.TYPE`, or `group.TYPE.ZONE` where each type (and zone) has its own; `region`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import botocore.exceptions
import msgspec
from botocore.config import Config

from autoscaler.cluster import names
from autoscaler.errors import BadRequest, CloudError
from autoscaler.hands.hand import Fence, View, by_name
from autoscaler.policy import Pool
from autoscaler.scale_plan import LaunchNodes, LowerDesired
from autoscaler.snapshot import Launch, LaunchFault, Node, PoolState

_FAULTS_SECONDS = 3600.0
_LEAVING = ("Terminat", "Detach", "Standby", "EnteringStandby")
_FAILED = frozenset({"Failed", "Cancelled"})
_MOST_INSTANCES = 100
"""Instance ids in one request."""
_GONE = frozenset({"ValidationError"})


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """One group of a pool."""

    name: str
    pool: str
    type: str
    """Instance type that its orders are; "" if a pool's types share it."""
    zone: str
    """Zone that its orders are for; "" if AWS chooses."""


class AsgHand:
    """The hand."""

    def __init__(self, pools: tuple[Pool, ...], *, owner: str, client: Any, ec2: Any) -> None:
        """`owner` is what the groups' tag `spack-farm.io/owner` must say. Raises BadRequest for a pool without a group."""
        self._pools, self._owner, self._client, self._ec2 = by_name(pools), owner, client, ec2
        self._groups = {group.name: group for pool in pools for group in groups_of(pool)}
        self._ordered: dict[str, list[float]] = {}
        """Group -> since when each order without an instance is there."""
        self._launched_at: dict[str, float] = {}
        self._done: dict[str, int] = {}
        """Order -> the desired capacity that it has led to."""
        self._seen: dict[str, Any] = {}

    def look(self, nodes: Mapping[str, Node], now: float) -> View:
        """Return the groups' instances and orders, read from AWS now."""
        with _translated("the groups cannot be read"):
            self._seen = {found["AutoScalingGroupName"]: found for found in self._described()}
            policies = self._policies()
            launches: list[Launch] = []
            states = []
            for name, pool in self._pools.items():
                groups = [group for group in self._groups.values() if group.pool == name]
                found = [self._seen[group.name] for group in groups if group.name in self._seen]
                for group in groups:
                    if group.name in self._seen:
                        launches += self._launches(group, self._seen[group.name], nodes, now)
                states.append(self._state(pool, groups, found, policies, now))
        return View(pools=tuple(states), launches=tuple(launches))

    def launch(self, line: LaunchNodes, *, order: str, fence: Fence) -> None:
        """Raise the desired capacity of the type's group by the count: never lower it, never beyond the group's maximum."""
        group = self._group_for(line)
        with _translated(f"group {group.name}: its desired capacity cannot be raised"):
            found = self._one(group.name)
            wanted = self._done.setdefault(order, int(found["DesiredCapacity"]) + line.count)
            wanted = min(wanted, int(found["MaxSize"]))
            # Somebody may have raised it by hand meanwhile: to set a smaller number would end instances.
            if wanted > int(found["DesiredCapacity"]):
                fence()
                self._client.set_desired_capacity(
                    AutoScalingGroupName=group.name, DesiredCapacity=wanted, HonorCooldown=False
                )
        if len(self._done) > 1000:
            self._done = {order: wanted}

    def end(self, pool: str, instance: str, *, node: str, fence: Fence) -> None:
        """Terminate exactly this instance and lower the desired capacity with it, so that AWS starts no other."""
        del node
        if not any(group.pool == pool for group in self._groups.values()):
            raise BadRequest(f"pool {pool} has no group")
        with _translated(f"instance {instance} cannot be terminated"):
            if not self._is_there(instance):
                return
            fence()
            try:
                self._client.terminate_instance_in_auto_scaling_group(
                    InstanceId=instance, ShouldDecrementDesiredCapacity=True
                )
            except botocore.exceptions.ClientError as error:
                if _code(error) not in _GONE or self._is_there(instance):
                    raise

    def cancel(self, pool: str, launch: str, *, fence: Fence) -> None:
        """Do nothing: an order without an instance is a part of the desired capacity; see `lower`."""

    def lower(self, line: LowerDesired, *, fence: Fence) -> None:
        """Lower the groups' desired capacities to what exists: that gives up orders, and ends no instance."""
        for group in (one for one in self._groups.values() if one.pool == line.pool):
            with _translated(f"group {group.name}: its desired capacity cannot be lowered"):
                found = self._one(group.name)
                there = max(len(_staying(found)), int(found["MinSize"]))
                if there < int(found["DesiredCapacity"]):
                    fence()
                    self._client.set_desired_capacity(
                        AutoScalingGroupName=group.name, DesiredCapacity=there, HonorCooldown=False
                    )

    def protect(self, *, fence: Fence) -> int:
        """Protect instances that AWS could still take by itself; return how many there were.

        A group of another owner, or of a pool that is only tried out, is left as it is.
        """
        count = 0
        for name, found in self._seen.items():
            if owner_of(found) != self._owner or self._pools[self._groups[name].pool].dry_run:
                continue
            bare = [one["InstanceId"] for one in _staying(found) if not one.get("ProtectedFromScaleIn")]
            for start in range(0, len(bare), 50):
                with _translated(f"group {found['AutoScalingGroupName']}: its instances cannot be protected"):
                    fence()
                    self._client.set_instance_protection(
                        AutoScalingGroupName=found["AutoScalingGroupName"],
                        InstanceIds=bare[start : start + 50],
                        ProtectedFromScaleIn=True,
                    )
                    count += len(bare[start : start + 50])
        return count

    def _described(self, *group_names: str) -> list[Any]:
        wanted = list(group_names or self._groups)
        found: list[Any] = []
        for start in range(0, len(wanted), 50):
            pages = self._client.get_paginator("describe_auto_scaling_groups").paginate(
                AutoScalingGroupNames=wanted[start : start + 50]
            )
            found += [one for page in pages for one in page["AutoScalingGroups"]]
        return found

    def _one(self, name: str) -> Any:
        found = self._described(name)
        if not found:
            raise CloudError(f"group {name} does not exist")
        return found[0]

    def _is_there(self, instance: str) -> bool:
        found = self._client.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
        return any(not _is_leaving(one) for one in found)

    def _policies(self) -> set[str]:
        """Return the groups with scaling policies of AWS."""
        found = set()
        for name in self._groups:
            pages = self._client.get_paginator("describe_policies").paginate(AutoScalingGroupName=name)
            if any(one.get("Enabled", True) for page in pages for one in page["ScalingPolicies"]):
                found.add(name)
        return found

    def _state(self, pool: Pool, groups: list[Group], found: list[Any], policies: set[str], now: float) -> PoolState:
        there = {one["AutoScalingGroupName"] for one in found}
        faults = [f"group {group.name} does not exist" for group in groups if group.name not in there]
        for one in found:
            faults += faults_of(one, has_policies=one["AutoScalingGroupName"] in policies, owner=self._owner)
        return PoolState(
            name=pool.name,
            desired=sum(int(one["DesiredCapacity"]) for one in found),
            most=sum(int(one["MaxSize"]) for one in found),
            least=sum(int(one["MinSize"]) for one in found),
            instances=tuple(sorted(one["InstanceId"] for group in found for one in _staying(group))),
            faults=tuple(fault for group in groups if group.name in there for fault in self._failures(group, now)),
            rejected="; ".join(faults),
        )

    def _launches(self, group: Group, found: Any, nodes: Mapping[str, Node], now: float) -> Iterator[Launch]:
        """Yield the instances that are no nodes yet, and the part of the desired capacity that has no instance."""
        waiting = [one for one in _staying(found) if one["InstanceId"] not in nodes]
        since = self._since([one["InstanceId"] for one in waiting], now)
        for one in waiting:
            yield Launch(
                id=one["InstanceId"],
                pool=group.pool,
                type=one.get("InstanceType") or group.type,
                zone=one.get("AvailabilityZone") or group.zone,
                ordered_at=since[one["InstanceId"]],
                instance=one["InstanceId"],
            )
        missing = max(int(found["DesiredCapacity"]) - len(_staying(found)), 0)
        # Which of them are the older ones AWS does not say: the first ones that were ordered are fulfilled first.
        kept = self._ordered.get(group.name, [])[-missing:] if missing else []
        self._ordered[group.name] = kept + [now] * (missing - len(kept))
        for number, ordered_at in enumerate(self._ordered[group.name]):
            yield Launch(
                id=f"{group.name}/{number}", pool=group.pool, type=group.type or self._only_type(group), zone=group.zone,
                ordered_at=ordered_at,
            )  # fmt: skip

    def _since(self, instances: list[str], now: float) -> dict[str, float]:
        """Return when instances were launched, as EC2 says; where it may not be asked, since when they were seen."""
        unknown = [one for one in instances if one not in self._launched_at]
        for start in range(0, len(unknown), _MOST_INSTANCES):
            some = unknown[start : start + _MOST_INSTANCES]
            try:
                answer = self._ec2.describe_instances(InstanceIds=some)
                for reservation in answer["Reservations"]:
                    for one in reservation["Instances"]:
                        self._launched_at[one["InstanceId"]] = one["LaunchTime"].timestamp()
            except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
                pass  # it may be missing for a moment after its launch, or may not be asked
            for one in some:
                self._launched_at.setdefault(one, now)
        if len(self._launched_at) > 10_000:
            self._launched_at = {one: self._launched_at[one] for one in instances}
        return {one: self._launched_at[one] for one in instances}

    def _failures(self, group: Group, now: float) -> Iterator[LaunchFault]:
        """Yield the orders of a group that AWS could not fulfill, the oldest first."""
        answer = self._client.describe_scaling_activities(AutoScalingGroupName=group.name, MaxRecords=50)
        for one in reversed(answer["Activities"]):
            at = one["StartTime"].timestamp()
            if one.get("StatusCode") in _FAILED and now - at < _FAULTS_SECONDS and _is_launch(one):
                yield LaunchFault(
                    at=at, type=group.type or self._only_type(group), zone=_zone_of(one) or group.zone,
                    message=str(one.get("StatusMessage") or one.get("Cause") or "")[:300],
                )  # fmt: skip

    def _only_type(self, group: Group) -> str:
        return self._pools[group.pool].types[0].name

    def _group_for(self, line: LaunchNodes) -> Group:
        return next(
            one
            for one in self._groups.values()
            if one.pool == line.pool and one.type in {"", line.type} and one.zone in {"", line.zone}
        )


def groups_of(pool: Pool) -> list[Group]:
    """Return the groups of a pool. Raises BadRequest if a type has none."""
    found: dict[str, Group] = {}
    for one in pool.types:
        for zone in pool.zones:
            options = pool.options
            by_zone, by_type = f"group.{one.name}.{zone}", f"group.{one.name}"
            if zone and by_zone in options:
                group = Group(name=options[by_zone], pool=pool.name, type=one.name, zone=zone)
            elif by_type in options:
                group = Group(name=options[by_type], pool=pool.name, type=one.name, zone="")
            elif "group" in options and len(pool.types) == 1:
                group = Group(name=options["group"], pool=pool.name, type=one.name, zone="")
            elif "group" in options:
                raise BadRequest(
                    f"pool {pool.name}: a group does not let us choose among {len(pool.types)} types; "
                    f'give each type its own: options."{by_type}" = "NAME"'
                )
            else:
                raise BadRequest(f'pool {pool.name}: type {one.name} has no group; set options."{by_type}" = "NAME"')
            known = found.setdefault(group.name, group)
            if known != group:
                raise BadRequest(f"pool {pool.name}: group {group.name} is named for two types or zones")
    return list(found.values())


def faults_of(group: Mapping[str, Any], *, has_policies: bool, owner: str) -> list[str]:
    """Return by what AWS itself could take instances of a group, each with what to do about it."""
    name = group["AutoScalingGroupName"]
    suspended = {one["ProcessName"] for one in group.get("SuspendedProcesses", ())}
    owned_by = owner_of(group)
    aws = "aws autoscaling"
    checks = {
        f"group {name} moves instances between zones, running jobs included: "
        f"{aws} suspend-processes --auto-scaling-group-name {name} --scaling-processes AZRebalance":
            "AZRebalance" not in suspended and len(group.get("AvailabilityZones", ())) > 1,
        f"group {name} does not protect its instances: "
        f"{aws} update-auto-scaling-group --auto-scaling-group-name {name} --new-instances-protected-from-scale-in":
            not group.get("NewInstancesProtectedFromScaleIn"),
        f"group {name} ends instances by their age: "
        f"{aws} update-auto-scaling-group --auto-scaling-group-name {name} --max-instance-lifetime 0":
            bool(group.get("MaxInstanceLifetime")),
        f"group {name} has scaling policies of AWS: {aws} delete-policy": has_policies,
        f"group {name} has the tag {names.OWNER}={owned_by!r}, not {owner!r}: another's, or none":
            owned_by != owner,
    }  # fmt: skip
    return [fault for fault, holds in checks.items() if holds]


def owner_of(group: Mapping[str, Any]) -> str | None:
    """Return the owner that a group's tag names; None without one."""
    tags = {one["Key"]: one["Value"] for one in group.get("Tags", ())}
    return tags.get(names.OWNER)


def make_hand(pools: tuple[Pool, ...], *, owner: str) -> AsgHand:
    """Return the hand with boto3's own credentials. Raises BadRequest."""
    regions = {pool.options.get("region") for pool in pools}
    if len(regions) > 1:
        raise BadRequest(f"pools of the hand asg are in several regions: {', '.join(sorted(map(str, regions)))}")
    settings = Config(
        connect_timeout=5, read_timeout=20, retries={"mode": "adaptive", "total_max_attempts": 4}
    )  # fmt: skip
    try:
        session = boto3.session.Session(region_name=next(iter(regions)))
        return AsgHand(
            pools, owner=owner, client=session.client("autoscaling", config=settings),
            ec2=session.client("ec2", config=settings),
        )  # fmt: skip
    except botocore.exceptions.BotoCoreError as error:
        raise BadRequest(f"AWS cannot be used: {error}") from error


class _translated:  # noqa: N801 (used as a function)
    """Raise CloudError for what AWS or the network answers."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, botocore.exceptions.ClientError | botocore.exceptions.BotoCoreError):
            raise CloudError(f"{self._what}: {error}") from error


def _staying(group: Mapping[str, Any]) -> list[Any]:
    return [one for one in group.get("Instances", ()) if not _is_leaving(one)]


def _is_leaving(instance: Mapping[str, Any]) -> bool:
    return str(instance.get("LifecycleState", "")).startswith(_LEAVING)


def _is_launch(activity: Mapping[str, Any]) -> bool:
    return "aunching" in str(activity.get("Description", ""))


def _zone_of(activity: Mapping[str, Any]) -> str:
    try:
        details = json.loads(activity.get("Details") or "{}")
    except ValueError:
        return ""
    return str(details.get("Availability Zone", "")) if isinstance(details, dict) else ""


def _code(error: botocore.exceptions.ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
