"""One contestant of `scripts/bench write`: writes a Build.xml of many events, and for ours the log as note and upload.

usage: write_child.py ours EVENTS LOG FOLDER | spack EVENTS ROOT FOLDER
"""

import dataclasses
import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

_TEXT = "src/core/solver_17.cpp:120:9: warning: unused variable 'rest' <T> & more [-Wunused-variable]"
_CONTEXT = "".join(f"g++ -O2 -c src/core/solver_{number}.cpp -o solver_{number}.o && true\n" for number in range(10))


def main() -> None:
    """Write once, print what it took."""
    way, events, source, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    start = time.process_time()
    if way == "ours":
        _ours(events, Path(source), folder)
    else:
        _spack(events, Path(source), folder)
    figures = {
        "cpu_seconds": time.process_time() - start,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "build_mb": (folder / "Build.xml").stat().st_size / 1e6,
    }
    print(json.dumps(figures))


def _ours(events: int, log: Path, folder: Path) -> None:
    from ctest_xml import write  # noqa: PLC0415  only in its own interpreter
    from ctest_xml.files import write_whole  # noqa: PLC0415
    from ctest_xml.model import Build, LogEvent, Note, Site, Upload  # noqa: PLC0415

    site = Site(name="bench", build_name="bench", build_stamp="20261122-0742-Bench")
    event = LogEvent(
        kind="error", log_line=1, text=_TEXT, file="a.cpp", file_line=3, pre_context=_CONTEXT, post_context=_CONTEXT
    )
    found = (
        dataclasses.replace(event, kind="error" if line % 2 else "warning", log_line=line) for line in range(1, events + 1)
    )
    with write_whole(folder / "Build.xml") as out:
        write.build(out, site=site, build=Build(start_seconds=1, end_seconds=2, command="make", events=found), limit=0)
    if log.exists():
        with write_whole(folder / "Notes.xml") as out:
            write.notes(out, site=site, notes=[Note(name="log", text=log, time_seconds=1)])
        with write_whole(folder / "Upload.xml") as out:
            write.upload(out, site=site, uploads=[Upload(name="log.txt", content=log, compress=True)], time_seconds=1)


def _spack(events: int, root: Path, folder: Path) -> None:
    """Render what Spack's reporter renders: its own templates, its own escaping, by its own copy of Jinja."""
    sys.path.insert(0, f"{root}/lib/spack")
    jinja: Any = importlib.import_module("spack.vendor.jinja2")
    loader = jinja.FileSystemLoader(f"{root}/share/spack/templates")
    environment = jinja.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True)
    found = [
        {
            "line_no": line,
            "text": escape(_TEXT),
            "source_file": "a.cpp",
            "source_line_no": "3",
            "pre_context": escape(_CONTEXT),
            "post_context": escape(_CONTEXT),
        }
        for line in range(events)
    ]
    values = {
        "build": {"warnings": found[::2], "errors": found[1::2], "starttime": 1, "endtime": 2},
        "install_command": "make",
    }
    with (folder / "Build.xml").open("w") as out:
        for name in ("Site.xml", "Build.xml"):
            out.write(environment.get_template(f"reports/cdash/{name}").render(values))


main()
