"""What an operator has settled for decisions: pools with their price list, caps, waits. Values only; `settings` reads them.

Sizes are integers in base units, times are seconds. It knows no file and no cluster.
"""

from typing import Literal

import msgspec

from autoscaler.snapshot import Size, Taint

PolicyName = Literal["lookahead", "pack", "counts"]


class InstanceType(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A kind of machine that a pool can order."""

    name: str
    """Such as `m5.4xlarge`."""
    allocatable: Size
    """What a node of it has for pods, DaemonSets' pods included. A live node of the type overrules it."""
    price_per_hour: float
    """In the currency of all prices."""
    most_pods: int = 110
    """How many pods a node may run."""
    daemons: Size = Size()
    """What DaemonSets' pods request there. A live node of the type overrules it."""


class PoolOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a pool is, apart from sizes: the settings write these as in Kubernetes."""

    name: str
    """Its name, as in the node label `spack-farm.io/pool`."""
    hand: Literal["asg", "nodeclaim", "kwok"] = "nodeclaim"
    """Through what machines are ordered."""
    zones: tuple[str, ...] = ("",)
    """Where; "" lets the cloud choose."""
    labels: dict[str, str] = {}
    """Labels of its nodes that pods select."""
    taints: tuple[Taint, ...] = ()
    """Taints of its nodes, startup taints excepted."""
    boot_seconds: float = 90.0
    """From an order until a job can run: a node that is Ready is not yet usable."""
    least_nodes: int = 0
    """Never fewer."""
    most_nodes: int = 100
    """Never more; booting machines count."""
    dry_run: bool = False
    """Whether its lines are printed only."""
    options: dict[str, str] = {}
    """What its hand alone needs, such as the group's name."""


class Pool(PoolOptions, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A set of machines that are ordered and ended through one hand."""

    types: tuple[InstanceType, ...]
    """What it can order; at least one."""
    slot: Size = Size(cpu_millicores=4000, memory_bytes=16 * 10**9)
    """Size of a job of which nothing else is known: the unit of the warm floor, and jobs that wait in GitLab."""


class WarmPeriod(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Slots for jobs that are kept free; of several periods that hold now, the last one counts."""

    pool: str
    """Pool."""
    cron: str = "* * * * *"
    """When it holds: minute, hour, day of month, month, day of week, in UTC."""
    idle_count: int = 0
    """Free slots at least."""
    scale_factor: float = 0.0
    """Free slots for each running job."""
    most_slots: int = 100
    """Bound of what `scale_factor` asks for."""


class Caps(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Bounds over all pools."""

    most_nodes: int = 200
    """Nodes and booting machines."""
    most_cost_per_hour: float = 100.0
    """Sum of the prices of nodes and booting machines."""
    most_step_nodes: int = 50
    """Machines ordered within `step_seconds`."""
    step_seconds: float = 30.0
    """Length of a step."""


class ScaleIn(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """When a node may go. No setting ends a job."""

    idle_seconds: float = 30.0
    """How long a node must be without a job."""
    confirm_seconds: float = 15.0
    """From the cordon until the second look; a cordon that was acknowledged before it keeps the scheduler out."""
    cordon_seconds: float = 1800.0
    """A cordon of ours that is older is taken back."""
    most_nodes: int = 20
    """How many nodes may be cordoned by us at once."""
    unhealthy_percent: int = 33
    """If more nodes than this are not ready, nothing is ordered and nothing is removed."""


class LookAhead(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How far the policy `lookahead` looks."""

    lead_seconds: float | None = None
    """Jobs that become ready within it count; None: four tenths of the boot time. More waits less and costs more."""
    slack_seconds: float = 90.0
    """How much longer than a new node's boot a job may wait for room that a running job is expected to leave."""
    end_factor: float = 1.0
    """Running jobs are expected to end after their expected time times this; 0 expects no end."""


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What happens after orders that were not fulfilled, for each pool, type and zone."""

    failures: int = 3
    """After so many in a row the wait grows to `most_seconds`."""
    first_seconds: float = 60.0
    """Wait after the first one; doubled with each further one."""
    most_seconds: float = 1800.0
    """Longest wait."""
    boot_timeout_seconds: float = 900.0
    """An order without a Node after it has failed."""
    most_terminated_percent: int = 20
    """If more machines of a pool than this have no Node, none of them is ended: the fault is elsewhere."""


class Counts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The policy `counts`: deployed, busy and pending."""

    jobs_per_node: int = 3
    """How many jobs a new node is counted to take."""
    wait_seconds: float = 60.0
    """Between two orders."""


class PolicyOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the settings say of decisions, apart from pools."""

    mode: Literal["nodes", "hints"] = "nodes"
    """`nodes`: nodes are ordered and removed. `hints`: another autoscaler is in charge."""
    warm: tuple[WarmPeriod, ...] = ()
    """Warm floors."""
    caps: Caps = Caps()
    """Bounds over all pools."""
    scale_in: ScaleIn = ScaleIn()
    """When nodes go."""
    look_ahead: LookAhead = LookAhead()
    """How far `lookahead` looks."""
    breaker: BreakerSettings = BreakerSettings()
    """After failed orders."""
    counts: Counts = Counts()
    """For the policy `counts`."""
    tick_seconds: float = 10.0
    """Between two decisions."""
    stale_seconds: float = 60.0
    """An input that is older is stale: nothing is removed."""
    inputs: tuple[str, ...] = ("pods", "nodes", "pools")
    """Inputs that must be there for a scale-in."""
    orphan_seconds: float = 900.0
    """How long a job's pod without its job is left alone."""
    dry_run: bool = False
    """Whether all lines are printed only."""
    largest_type: float = 5.0
    """A new node is at most so many times as large as the largest job that it is for, if a type allows it; 0: any size."""


class Policy(PolicyOptions, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Everything that an operator has settled for decisions."""

    name: PolicyName = "lookahead"
    """How demand becomes orders."""
    pools: tuple[Pool, ...] = ()
    """Pools, in order of preference among equals."""
    node_price_cpu: float = 0.0315
    """Worth of a core for an hour, when types are compared."""
    node_price_gib: float = 0.0045
    """Worth of a GiB for an hour, when types are compared."""
