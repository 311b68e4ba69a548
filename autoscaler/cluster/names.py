"""Labels, annotations and taints of the autoscaler, and those of others that it reads.

Described in docs/autoscaler.md. Those below `spack-farm.io` that the driver writes are in docs/reference/labels.md.
"""

OURS = "spack-farm.io"
POOL = f"{OURS}/pool"
"""Label of a node, or of an order: its pool."""
SCALE_IN = f"{OURS}/scale-in"
"""Taint of a node that is being scaled in, and the annotation with when, by whom and why."""
KEEP = f"{OURS}/keep"
"""Annotation by which an operator keeps a node."""
WAITING = f"{OURS}/waiting"
"""Annotation of a job's pod: why it waits."""
PAUSE = f"{OURS}/pause"
"""Label of a placeholder of ours."""
PLACEHOLDER = f"{OURS}/placeholder"
"""Label of a placeholder, or of a buffer: for what kind of room it stands."""
OWNER = f"{OURS}/owner"
"""Label or tag of what the autoscaler orders: which autoscaler."""
GRAPH = f"{OURS}/graph"
GRAPH_JOB = f"{OURS}/graph-job"
JOB_ID = f"{OURS}/job-id"
PROJECT_ID = "project.runner.gitlab.com/id"
ATTEMPT = f"{OURS}/attempt"
EXPECTED_SECONDS = f"{OURS}/expected-seconds"
OUTCOME = f"{OURS}/outcome"

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
PRICES = ("spack-farm.io/price-per-hour", "eks-node-viewer/instance-price")
"""Labels with a node's price."""
STATIC_POD = "kubernetes.io/config.mirror"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
KUBERNETES_OWN = "node.kubernetes.io/"
"""Prefix of the taints by which Kubernetes itself says what is wrong with a node."""
INTERRUPTIONS = frozenset({
    "aws-node-termination-handler/spot-itn",
    "aws-node-termination-handler/scheduled-maintenance",
    "cloud.google.com/impending-node-termination",
    "karpenter.sh/disrupted",
    "node.cloudprovider.kubernetes.io/shutdown",
})  # fmt: skip
"""Taints that say that somebody else takes the node away."""
STARTUP_TAINTS = (
    "karpenter.sh/unregistered",
    "node.cilium.io/agent-not-ready",
    "node.cloudprovider.kubernetes.io/uninitialized",
    "ebs.csi.aws.com/agent-not-ready",
    "node.spack.io/certificate-pending",
    "spack-farm.io/starting",
)
"""Taints of nodes that are Ready and not yet usable; settings add to them."""
