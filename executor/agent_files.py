"""The config map that brings the pod agent into a pod: the program for the node's architecture, and what starts it. Pure.

It is named by its content and never changes, so all pods of a namespace share it, and drivers of two versions do not disturb
each other. `scripts/agent` compiles the programs.
"""

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any

from executor import names
from executor.errors import SettingsError
from executor.pod_agent import start_script
from executor.settings import Kubernetes

_HERE = Path(__file__).parent
ARCHITECTURES = ("amd64", "arm64")
"""Those of nodes, as Kubernetes spells them, for which there is a program."""
INHERIT = "inherit"


def architecture_of(kubernetes: Kubernetes) -> str:
    """Return the architecture of the pods' nodes: what the node selector asks for, else what the helper image's tag names.

    Raises SettingsError for one that has no program. The official executor takes its helper's from the same label.
    """
    tag = kubernetes.helper_image.rpartition(":")[2]
    asked = kubernetes.node_selector.get("kubernetes.io/arch") or ("arm64" if "arm64" in tag else "amd64")
    if asked not in ARCHITECTURES:
        known = " and ".join(ARCHITECTURES)
        raise SettingsError(f"kubernetes.node_selector asks for nodes of {asked}; the driver has programs for {known}")
    return asked


@functools.cache
def agent_files(architecture: str, *, orphan_after_seconds: int, helper_umask: str) -> dict[str, Any]:
    """Return the config map, without a namespace; callers must not change it."""
    program = (_HERE / f"agent-{architecture}").read_bytes()
    umasks = {"build": INHERIT, "helper": helper_umask}
    scripts = {
        name: start_script(name, orphan_after_seconds=orphan_after_seconds, umask=umask) for name, umask in umasks.items()
    }
    digest = hashlib.sha256(program + "".join(scripts.values()).encode()).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"agent-{architecture}-{digest[:24]}", "labels": {names.MANAGED_BY: "executor"}},
        "immutable": True,
        "binaryData": {"agent": base64.b64encode(program).decode()},
        "data": scripts,
    }
