"""The machine's own ctest on a log: what it scrapes as errors. Knows nothing of our rules."""

import shutil
import subprocess
from pathlib import Path

from lxml import etree

_DASH = """\
set(CTEST_SITE "bench")
set(CTEST_BUILD_NAME "bench")
set(CTEST_SOURCE_DIRECTORY "{folder}/source")
set(CTEST_BINARY_DIRECTORY "{folder}/build")
set(CTEST_CMAKE_GENERATOR "Unix Makefiles")
set(CTEST_CUSTOM_MAXIMUM_NUMBER_OF_ERRORS 1000000)
set(CTEST_CUSTOM_MAXIMUM_NUMBER_OF_WARNINGS 1000000)
set(CTEST_BUILD_COMMAND "/bin/cat {log}")
ctest_start(Experimental)
ctest_build()
"""


def scraped(log: Path, folder: Path) -> list[tuple[str, int]]:
    """Return kind and line of each event that ctest finds; `folder` is used for its files."""
    for part in ("source", "build"):
        shutil.rmtree(folder / part, ignore_errors=True)
        (folder / part).mkdir()
    (folder / "dash.cmake").write_text(_DASH.format(folder=folder, log=log))
    subprocess.run(["ctest", "-S", folder / "dash.cmake"], cwd=folder, capture_output=True, check=False)
    (found,) = (folder / "build").glob("Testing/*/Build.xml")
    root = etree.parse(found, etree.XMLParser(huge_tree=True)).getroot()
    return [(str(node.tag).lower(), int(node.findtext("BuildLogLine") or 0)) for node in root.iter("Error", "Warning")]
