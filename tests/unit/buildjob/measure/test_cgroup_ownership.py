"""Whether our own cgroup counts only this job is decided by a table."""

import pytest

from buildjob.measure.cgroup_ownership import Membership, Ownership, ownership_of

_CONTAINER = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("membership", "ownership"),
    [
        # the machine's own cgroup counts all processes, also for a process in a pid namespace of its own
        (Membership(path="/", is_root=True, relatives=3), Ownership.NOT_OURS),
        (Membership(path="/", is_root=True, is_top=True, own_namespace=True, relatives=3), Ownership.NOT_OURS),
        # containers: Docker on v1, with a cgroup namespace, Kubernetes under containerd and CRI-O, with hostPID
        (Membership(path=f"/docker/{_CONTAINER}", own_namespace=True, relatives=2, strangers=4), Ownership.OURS),
        (Membership(path="/", is_top=True, own_namespace=True, relatives=2, strangers=1), Ownership.OURS),
        (Membership(path=f"/kubepods/burstable/pod1/{_CONTAINER}", own_namespace=True, strangers=1), Ownership.OURS),
        (Membership(path=f"/kubepods.slice/crio-{_CONTAINER}.scope", relatives=1, strangers=1), Ownership.OURS),
        # `unshare --pid` in somebody's session: the rest of the session cannot be named from within
        (Membership(path="/x", is_top=True, own_namespace=True, relatives=2, outsiders=1), Ownership.NOT_OURS),
        # a service and a login in a system container (LXC, nspawn), which has a namespace of its own
        (Membership(path="/system.slice/runner.service", own_namespace=True, relatives=2, strangers=9), Ownership.NOT_OURS),
        (Membership(path="/user.slice/session-1.scope", own_namespace=True, relatives=2), Ownership.NOT_OURS),
        # login sessions and the machine's slices, even if at this instant nobody else is in them
        (Membership(path="/user.slice/user-0.slice/session-3.scope", relatives=2), Ownership.NOT_OURS),
        (Membership(path="/user.slice/user-0.slice/session-3.scope", relatives=2, has_own_limit=True), Ownership.NOT_OURS),
        (Membership(path="/system.slice", relatives=2), Ownership.NOT_OURS),
        (Membership(path="/user.slice/user-0.slice/user@0.service", relatives=2), Ownership.NOT_OURS),
        (Membership(path="/init.scope", relatives=2), Ownership.NOT_OURS),
        # a cgroup that was made for this job, with a limit; a service with strangers; one that may get some later
        (Membership(path="/farm/job-7", relatives=3, has_own_limit=True), Ownership.OURS),
        (Membership(path="/farm/job-7", relatives=3, strangers=1, has_own_limit=True), Ownership.NOT_OURS),
        (Membership(path="/system.slice/runner.service", relatives=2, strangers=1), Ownership.NOT_OURS),
        (Membership(path="/farm/job-7", relatives=3), Ownership.OURS_FOR_NOW),
    ],
)
def test_a_cgroup_is_ours_only_if_it_is_this_jobs_alone(membership: Membership, ownership: Ownership) -> None:
    assert ownership_of(membership) is ownership
