"""Where something of a run is to be found: what the page and the terminal table point to."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from buildjob.run_folder import LOG, PAGE
from buildjob.telemetry import Telemetry

_MOST_FAILED = 4


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A place to point to."""

    label: str
    url: str
    """A URL or a path. The page links http and https only and shows everything else as text."""
    is_beside: bool = False
    """`url` is the plain name of a file that lies beside the page, or in a folder beside the page's: it is linked."""


def failed_links(telemetry: Telemetry, folder: Path) -> Iterator[Link]:
    """Yield where page and log of the dependencies are that failed; they may be missing if the run folder was moved."""
    for failed in [each for each in telemetry.failed_dependencies if each.run_folder][:_MOST_FAILED]:
        for name, what in ((PAGE, "report"), (LOG, "log")):
            url = f"../{failed.run_folder}/{name}"
            # the page of a run is written after its end, maybe by a run that is still going on
            if (folder / url).exists():
                yield Link(label=f"{what} of {failed.name}@{failed.version}", url=url, is_beside=True)
