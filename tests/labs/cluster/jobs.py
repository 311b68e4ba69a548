"""Jobs that several tests on a real cluster use."""

import time

EATER = "tail /dev/zero"
SMALL = 'memory_limit = "64Mi"\nmemory_limit_overwrite_max_allowed = "128Mi"'


def job_named(name: str) -> dict[str, object]:
    """Return a job of its own name: memory kills are remembered per name."""
    return {"name": name, "pipeline_id": time.time_ns() // 1000, "project_id": 4, "project_full_path": "grp/proj"}
