"""Prints how much of each pure room the unit tests cover, lines and branches together; fails where it is below the floor.

`coverage.py REPORT`, a JSON report of pytest-cov on tests/unit. A new module counts in its room. What reads and does, with
sockets, children and files, is left out by name: whole programs cover it in tests/contract and tests/integration.
"""

import fnmatch
import json
import sys
from pathlib import Path
from typing import NamedTuple


class Room(NamedTuple):
    """Modules that are measured together."""

    floor: float
    folder: str
    left_out: str
    """Modules that read and do, as patterns."""


ROOMS = (
    Room(97.0, "autoscaler", "__main__ errors extra"),
    Room(97.0, "autoscaler/cluster", "api election mirror"),
    Room(96.0, "autoscaler/hands", "asg kwok nodeclaim table"),
    Room(97.0, "autoscaler/deciding", ""),
    Room(97.0, "autoscaler/lookahead", "gitlab graphs owners store"),
    Room(93.0, "autoscaler/simulator", ""),
    Room(97.0, "buildjob", "__main__ event_output extra files log options run_folder version"),
    Room(
        98.0,
        "buildjob/agent",
        "build folding index_page packages planning publish_process publisher publishing reproduction run session",
    ),
    Room(
        92.0,
        "buildjob/buildcache",
        "conditions documents index keys listing notarize prune push push_record send_telemetry signing verify workers",
    ),
    Room(92.0, "buildjob/buildcache/indexing", "lock pending_pushes"),
    Room(96.0, "buildjob/ci", "artifacts container fetched_artifacts rebuild reporting reproduce standalone_tests"),
    Room(97.0, "buildjob/gitlab", ""),
    Room(97.0, "buildjob/measure", "cgroup processes resident_code"),
    Room(98.0, "buildjob/report", "cdash link write"),
    Room(97.0, "buildjob/report/log_page", "read"),
    Room(97.0, "buildjob/report/many", "folder write_index"),
    Room(98.0, "buildjob/spack", "adapter layout"),
    Room(98.0, "ctest_xml", "__main__ answers arguments cdash cli_* convert errors extra identity naming spool submit"),
    Room(
        97.0,
        "delegate",
        "__main__ call errors exchanges extra gateway guard http_io inner_face metrics openapi outer_face worker",
    ),
    Room(97.0, "pipelines", "__main__ errors extra history mirrors spack_python"),
    Room(97.0, "pipelines/reports", ""),
    Room(96.0, "pipelines/inside", "build_group changes dynamic fingerprint generat* inputs stack"),
    Room(97.0, "pipelines/inside/gitlab", ""),
    Room(97.0, "pipelines/inside/mirror", "etag index"),
    Room(97.0, "executor/checks", "cluster parallel programs settings_file"),
    Room(97.0, "status_line", "counter progress screen"),
    Room(97.0, "sizing", "__main__ errors extra ingest training"),
    Room(97.0, "sizing/policies", "table"),
    Room(98.0, "spelling", ""),
    Room(
        97.0,
        "executor",
        "__main__ attempt_history check cleanup config credentials driver environment errors exec_plugin exec_stream extra"
        " files image_check image_facts kube local log metrics notices pod_launch pod_wait pods prepare proxy run run_script"
        " settings size_table usage warm*",
    ),
)


def main() -> int:
    """Print the table; return 1 if a room is below its floor."""
    files = json.loads(Path(sys.argv[1]).read_text("utf-8"))["files"]
    faults = 0
    print("covered by unit tests, lines and branches:")
    for room in ROOMS:
        summaries = {
            name: report["summary"]
            for name, report in files.items()
            if str(Path(name).parent) == room.folder
            and not any(fnmatch.fnmatch(Path(name).stem, pattern) for pattern in room.left_out.split())
        }
        seen = sum(each["covered_lines"] + each["covered_branches"] for each in summaries.values())
        there = sum(each["num_statements"] + each["num_branches"] for each in summaries.values())
        percent = 100 * seen / there if there else 0.0
        print(f"  {room.folder:22} {percent:6.1f} %, at least {room.floor:.0f} %, {len(summaries)} modules")
        if percent < room.floor:
            faults = 1
            lowest = sorted(summaries, key=lambda name: summaries[name]["percent_covered"])[:3]
            named = ", ".join(f"{name} {summaries[name]['percent_covered']:.0f} %" for name in lowest)
            print(f"scripts/coverage.py: {room.folder} is below its floor; least covered: {named}", file=sys.stderr)
    return faults


if __name__ == "__main__":
    sys.exit(main())
