"""The peer of `scripts/bench executor`: a custom-executor driver as one writes it with the official Python client.

Verbs as the Runner calls them: config, prepare, run SCRIPT STAGE, cleanup. One pod, one container, the script as an argument
of exec; it survives no broken connection, reports no memory kill and knows no helper. It is here for its cost only.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any


def main() -> int:
    """Run the verb of the first argument."""
    verb = sys.argv[1]
    if verb == "config":
        sys.stdout.write(json.dumps({"builds_dir": "/builds", "cache_dir": "/cache"}) + "\n")
        return 0
    from kubernetes import client, config, stream  # noqa: PLC0415 (config does without)

    config.load_kube_config(config_file=os.environ["PEER_KUBECONFIG"])
    core: Any = client.CoreV1Api()
    name, namespace = os.environ["PEER_POD"], os.environ["PEER_NAMESPACE"]
    if verb == "prepare":
        container = client.V1Container(
            name="build", image="localhost/busybox:1", command=["sleep", "3600"], image_pull_policy="Never"
        )
        spec = client.V1PodSpec(containers=[container], restart_policy="Never")
        core.create_namespaced_pod(namespace, client.V1Pod(metadata=client.V1ObjectMeta(name=name), spec=spec))
        while core.read_namespaced_pod(name, namespace).status.phase != "Running":
            time.sleep(0.1)
        return 0
    if verb == "cleanup":
        core.delete_namespaced_pod(name, namespace, grace_period_seconds=1)
        return 0
    command = ["sh", "-c", Path(sys.argv[-2]).read_text(encoding="utf-8")]
    connect: Any = core.connect_get_namespaced_pod_exec
    run = stream.stream(connect, name, namespace, command=command, stdout=True, stderr=True, _preload_content=False)
    while run.is_open():
        run.update(timeout=1)
        sys.stdout.write(run.read_stdout(timeout=0) if run.peek_stdout() else "")
        sys.stdout.flush()
    return int(run.returncode)


if __name__ == "__main__":
    sys.exit(main())
