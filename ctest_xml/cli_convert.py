"""`convert`: a folder of documents from each log, and one line for each on what was found in it."""

import os
import sys

from ctest_xml.arguments import Arguments
from ctest_xml.convert import Conversion, convert
from ctest_xml.errors import BadInput
from ctest_xml.model import Site
from ctest_xml.naming import build_stamp


def run(arguments: Arguments) -> int:
    """Convert each log; return 0. Raises BadInput."""
    names = [log.name.removesuffix(".gz") for log in arguments.logs]
    if len(set(names)) != len(names):
        raise BadInput("two of the logs have the same name, so they would share a folder; convert them one by one")
    how = Conversion(rules=arguments.rules, limit=arguments.limit, command=arguments.command or "")
    for log, name in zip(arguments.logs, names, strict=True):
        if not os.path.isfile(log):  # noqa: PTH113  a name that is too long is an error to pathlib, and not absence
            raise BadInput(f"{log} is not a file; give the path of a build log")
        stamp = build_stamp(start_seconds=log.stat().st_mtime, group=arguments.group)
        site = Site(name=arguments.site, build_name=arguments.build_name or name, build_stamp=stamp)
        out = arguments.out / name if len(names) > 1 else arguments.out
        counts = convert(log, out, site=site, how=how)
        sys.stdout.write(f"{log}: {_count(counts.errors, counts.errors_left_out, 'error')}, ")
        sys.stdout.write(f"{_count(counts.warnings, counts.warnings_left_out, 'warning')} -> {out / 'Build.xml'}\n")
    return 0


def _count(written: int, left_out: int, kind: str) -> str:
    rest = f" (the first {written}; --limit 0 takes all)" if left_out else ""
    return f"{written + left_out} {kind}{'' if written + left_out == 1 else 's'}{rest}"
