"""Creates CDash's build group of a stack, which builds of an unknown group would not be shown in.

Source: Spack 1.1, lib/spack/spack/ci/common.py (`CDashHandler.create_buildgroup`). CDash never fails a pipeline.
"""

import json
import urllib.request
from typing import Mapping

_SECONDS = 10
_LARGEST = 1 << 16


def create(settings: Mapping[str, str], token: str) -> str:
    """Return why there may be no group; empty if CDash has it. `settings` is Spack's section `cdash`."""
    group = settings["build-group"]
    content = {"newbuildgroup": group, "project": settings.get("project", ""), "type": "Daily"}
    url = settings.get("url", "").rstrip("/") + "/api/v1/buildgroup.php"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, data=json.dumps(content).encode("utf-8"), headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 (the address is the environment's)
            found = json.loads(answer.read(_LARGEST).decode("utf-8"))
        has_group = isinstance(found, dict) and bool(found.get("id"))
    except (OSError, ValueError) as error:
        return f"CDash has perhaps no build group {group!r}: {url}: {error}"
    return "" if has_group else f"CDash has perhaps no build group {group!r}: {url} gave no id"
