"""`convert`: a folder of documents from each log; what was found in it, its first error, and where the documents are."""

import re
import sys
from pathlib import Path

from ctest_xml.arguments import Arguments, environment, line_for
from ctest_xml.convert import DOCUMENTS, Conversion, Converted, convert
from ctest_xml.errors import BadInput
from ctest_xml.log_files import STANDARD_INPUT, base_name
from ctest_xml.model import LogEvent, Site
from ctest_xml.naming import build_stamp
from ctest_xml.progress import Progress
from status_line.screen import screen_for

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)?")
_SHOWN = 300


def run(arguments: Arguments) -> int:
    """Convert each log; return 0. Raises BadInput."""
    names = [base_name(log) for log in arguments.logs]
    if len(set(names)) != len(names):
        raise BadInput("two of the logs have the same name, so they would share a folder; convert them one by one")
    how = Conversion(rules=arguments.rules, limit=arguments.limit, command=arguments.command or "")
    screen, say = screen_for(sys.stderr, environment()), line_for("convert")
    for log, name in zip(arguments.logs, names, strict=True):
        build_name = arguments.build_name or name

        def site(end_seconds: float, build_name: str = build_name) -> Site:
            stamp = build_stamp(start_seconds=end_seconds, group=arguments.group)
            return Site(name=arguments.site, build_name=build_name, build_stamp=stamp)

        out = arguments.out / name if len(names) > 1 else arguments.out
        shown = "standard input" if log == STANDARD_INPUT else str(log)
        progress = Progress(shown, screen=screen, say=say)
        converted = convert(log, out, site=site, how=how, progress=progress)
        sys.stdout.write(_summary(shown, converted, out))
        sys.stdout.flush()  # with several logs, each appears when it is done
    return 0


def _summary(log: str, converted: Converted, out: Path) -> str:
    counts = converted.counts
    errors = _count(counts.errors, counts.errors_left_out, "error")
    warnings = _count(counts.warnings, counts.warnings_left_out, "warning")
    lines = [f"{log}: {errors}, {warnings}"]
    if converted.first_error:
        lines.append(f"  first error: {log}:{converted.first_error.log_line}: {_error(converted.first_error)}")
    lines.append(f"  wrote {', '.join(DOCUMENTS)} to {out}")
    return "".join(f"{line}\n" for line in lines)


def _error(event: LogEvent) -> str:
    """Return an error in one printable line, with its file if that is not in its text."""
    text = _ESCAPE.sub("", event.text).encode("utf-8", "backslashreplace").decode()
    text = "".join(letter if letter.isprintable() else " " for letter in text).strip()
    place = "" if event.file in text else f" ({event.file}:{event.file_line})"
    return f"{text if len(text) <= _SHOWN else text[:_SHOWN] + ' …'}{place}"


def _count(written: int, left_out: int, kind: str) -> str:
    rest = f" (the first {written}; --limit 0 takes all)" if left_out else ""
    return f"{written + left_out:,} {kind}{'' if written + left_out == 1 else 's'}{rest}"
