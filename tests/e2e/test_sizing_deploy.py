"""deploy/sizing on a real cluster: its CronJob fits a table into the ConfigMap that the manager mounts for the driver."""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.runner import Outcome, Runner, payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.jobs import job_named
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import load_images
from tests.labs.sizing import document
from tests.labs.waiting import wait_until

BASE = ROOT / "deploy" / "sizing"
MIB = 1 << 20
CAPS = 'memory_limit = "64Mi"\nmemory_limit_overwrite_max_allowed = "512Mi"\nmemory_request_overwrite_max_allowed = "512Mi"'
NO_VOLUME = [
    {"$patch": "delete", "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "spack-farm-history"}}
]
DOCUMENTS = "documents"
MANAGER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "sizes-of-a-manager"},
    "spec": {
        "containers": [
            {
                "name": "manager", "image": "localhost/busybox:1", "command": ["sleep", "600"],
                "volumeMounts": [{"name": "sizes", "mountPath": "/sizes"}],
            }
        ],
        "volumes": [{"name": "sizes", "configMap": {"name": "spack-farm-sizes", "optional": True}}],
        "terminationGracePeriodSeconds": 0,
    },
}  # fmt: skip


class Deployed:
    """The base with an overlay, as an operator writes one; the history is in memory, and documents are in a ConfigMap."""

    def __init__(self, lab: ClusterLab, folder: Path) -> None:
        assert lab.cluster
        self.lab, self.cluster, self.folder = lab, lab.cluster, folder / "overlay"
        self.folder.mkdir()

    def kubectl(self, *words: str, text: str = "") -> str:
        return self.lab.kubectl("-n", NAMESPACE, *words, text=text)

    def apply(self) -> None:
        """Apply the overlay, which reads documents from a ConfigMap."""
        volumes = [
            {"name": "history", "persistentVolumeClaim": None, "emptyDir": {}},
            {"name": "documents", "configMap": {"name": DOCUMENTS}},
        ]
        mounts = [{"name": "documents", "mountPath": "/documents"}]
        pod = {
            "initContainers": [{"name": "ingest", "volumeMounts": mounts}],
            "containers": [{"name": "fit", "volumeMounts": mounts}],
            "volumes": volumes,
        }
        job = {
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "spack-farm-sizing"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}},
        }  # fmt: skip
        overlay = {
            "resources": [os.path.relpath(BASE, self.folder.resolve())],
            "namespace": NAMESPACE,
            "images": [{"name": "registry.example.com/spack-farm-services", "newName": "localhost/spack-farm-services"}],
            "configMapGenerator": [
                {
                    "name": "spack-farm-sizing",
                    "behavior": "merge",
                    "literals": ["INGEST=/documents --trusted", "FIT=--least-memory 32Mi --most-memory 512Mi"],
                }
            ],
            "patches": [{"patch": json.dumps(patch)} for patch in (*NO_VOLUME, job)],
        }
        (self.folder / "kustomization.yaml").write_text(json.dumps(overlay))
        self.kubectl("apply", "-k", str(self.folder))

    def documents(self, *made: dict[str, Any]) -> None:
        """Replace the telemetry that the next run ingests."""
        data = {f"{number}.json": json.dumps(one) for number, one in enumerate(made)}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": DOCUMENTS}, "data": data}
        self.kubectl("apply", "-f", "-", text=json.dumps(body))

    def run(self, name: str) -> str:
        """Run the CronJob's Job once; return the log of its fit."""
        self.kubectl("create", "job", name, "--from=cronjob/spack-farm-sizing")

        conditions, deadline = "", time.monotonic() + 300
        while not {"Complete", "Failed"} & set(conditions.split()) and time.monotonic() < deadline:
            time.sleep(0.5)
            conditions = self.kubectl("get", "job", name, "-o", "jsonpath={.status.conditions[*].type}")
        pods = ("-l", f"job-name={name}")
        log = self.kubectl("logs", *pods, "--all-containers", "--ignore-errors", "--tail=-1")
        assert "Complete" in conditions.split(), f"{conditions}\n{log}\n{self.kubectl('describe', 'pods', *pods)}"
        return log

    def mounted(self) -> Path:
        """Return where the kubelet puts the manager's volume: a folder of this machine."""
        uid = self.kubectl("get", "pod", MANAGER["metadata"]["name"], "-o", "jsonpath={.metadata.uid}")  # type: ignore[index]
        return self.cluster.home / f"kubelet/pods/{uid}/volumes/kubernetes.io~configmap/sizes/sizes.json.gz"

    def synced(self, content: bytes) -> None:
        """Wait until the mounted file is another one; a change of the pod makes the kubelet look at once."""

        def is_new() -> bool:
            self.kubectl("annotate", "pod", "sizes-of-a-manager", f"looked={time.monotonic_ns()}", "--overwrite")
            time.sleep(0.5)
            return self.mounted().exists() and self.mounted().read_bytes() != content

        wait_until(is_new, seconds=120)


def built(peak_mib: int, number: int) -> dict[str, Any]:
    totals = {
        "memory_working_set_peak_bytes": peak_mib * MIB, "memory_anonymous_peak_bytes": peak_mib * MIB,
        "cpu_seconds": 6, "disk_peak_bytes": MIB,
    }  # fmt: skip
    made = document("maker", ended=time.time() - 3600 - number, seconds=60, totals=totals)
    return made | {"job": made["job"] | {"id": str(number)}}


def asked(run: Callable[..., Runner], table: Path) -> Outcome:
    """Run a job whose driver reads the mounted table."""
    variables = {
        "SPACK_JOB_SPEC_PKG_NAME": "maker", "SPACK_JOB_SPEC_PKG_VERSION": "1.14.5",
        "SPACK_JOB_SPEC_DAG_HASH": hashlib.sha256(b"maker").hexdigest()[:32],
    }  # fmt: skip
    job = payload(["true"], job_info=job_named("maker"), id=time.time_ns() % 10**9, variables=variables)
    return run(CAPS, f'sizes_file = "{table}"').run(job)


@pytest.mark.timeout(600)
def test_a_cron_job_sizes_the_next_prepare_through_a_config_map(
    lab: ClusterLab, runner: Callable[..., Runner], tmp_path: Path
) -> None:
    if lab.cluster is None:
        pytest.skip("our images are loaded into a cluster of our own")
    load_images(lab.cluster, "services")
    deployed = Deployed(lab, tmp_path)
    deployed.documents(*(built(100, number) for number in range(3)))
    deployed.apply()
    deployed.kubectl("apply", "-f", "-", text=json.dumps(MANAGER))
    deployed.kubectl("wait", "--for=condition=Ready", "pod/sizes-of-a-manager", "--timeout=60s")

    assert "sizes from 3 builds (min_waste)" in deployed.run("first")
    deployed.synced(b"")
    first = asked(runner, deployed.mounted())
    assert first.state == "success", first.text
    assert "3 builds of" in first.text
    assert "largest 100 MiB" in first.text

    content = deployed.mounted().read_bytes()
    deployed.documents(*(built(140, number) for number in range(5)))
    deployed.run("second")
    deployed.synced(content)
    assert "largest 140 MiB" in asked(runner, deployed.mounted()).text

    table = deployed.kubectl("get", "configmap", "spack-farm-sizes", "-o", "jsonpath={.binaryData}")
    deployed.apply()
    assert deployed.kubectl("get", "configmap", "spack-farm-sizes", "-o", "jsonpath={.binaryData}") == table

    account = f"--as=system:serviceaccount:{NAMESPACE}:spack-farm-sizing"
    rights = deployed.kubectl("auth", "can-i", "--list", account)
    own = [line.split() for line in rights.splitlines() if "configmaps" in line]
    assert own == [["configmaps", "[]", "[spack-farm-sizes]", "[get", "update]"]]
    assert "secrets" not in rights
    deployed.kubectl("delete", "pod", "sizes-of-a-manager", "--now")
    deployed.kubectl("delete", "-k", str(deployed.folder))
