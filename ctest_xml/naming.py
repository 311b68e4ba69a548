"""Names by which CDash recognizes a build over time: build name, stamp, and the file names of the documents.

Obeys: CDash 5.3, app/cdash/app/Model/Build.php: CDash finds previous builds and trends by equal site, build name and group.
"""

import time

DOCUMENTS = ("Update.xml", "Configure.xml", "Build.xml", "Test.xml", "Notes.xml", "Upload.xml")
"""The documents in the order of sending; Done.xml follows when CDash has all of them."""


def build_name(*, package: str, compiler: str = "", architecture: str = "") -> str:
    """Return a build name that stays equal from run to run, such as `zlib %gcc@12 linux-debian12-x86_64`.

    No version, hash or job number: those go into labels and notes.
    """
    return " ".join(part for part in (package, f"%{compiler}" if compiler else "", architecture) if part)


def build_stamp(*, start_seconds: float, group: str) -> str:
    """Return a build stamp, `YYYYMMDD-HHMM-<group>` in UTC; the group must exist in the project."""
    return time.strftime("%Y%m%d-%H%M-", time.gmtime(start_seconds)) + (group or "Experimental")
