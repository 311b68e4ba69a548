"""Build.xml: errors, warnings, failures and the timeline of commands.

Knows nothing of logs: it gets events as values. Obeys: CDash 5.3, app/Validators/Schemas/Build.xsd, BuildHandler.php.
CDash keeps only the last fragment of BuildCommand, the directories, Label, Argument and a command's measurement values:
those are written as one fragment.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO

from lxml import etree

from ctest_xml import limits
from ctest_xml.content import excerpt
from ctest_xml.model import Build, Command, Content, Failure, Kind, LogEvent, Measurement, Site
from ctest_xml.text import cut
from ctest_xml.write_site import labels, minutes, number, seconds, site_document, subproject, write_labels
from ctest_xml.xmlstream import XmlStream, fragment, leaf

_TAGS: dict[Kind, str] = {"error": "Error", "warning": "Warning"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many errors and warnings a Build.xml holds, and how many more there were than its limit allows."""

    errors: int = 0
    warnings: int = 0
    errors_left_out: int = 0
    warnings_left_out: int = 0


def build(out: BinaryIO, *, site: Site, build: Build, limit: int = limits.EVENTS) -> Counts:
    """Write Build.xml with at most `limit` errors and `limit` warnings (0: as many as CDash can count); return the counts.

    Events, failures and commands are read once; memory is bounded however many there are. If there are more events of a kind
    than the limit, the last one that is written says how many were left out. Failures are written first and count.
    """
    with site_document(out, site, machine=True) as xml:
        subproject(xml, site)
        with xml.element("Build"):
            write_labels(xml, build.labels)
            xml.text("StartBuildTime", seconds(build.start_seconds))
            if build.source_directory:
                xml.fragment("SourceDirectory", build.source_directory)
            if build.binary_directory:
                xml.fragment("BinaryDirectory", build.binary_directory)
            xml.fragment("BuildCommand", build.command)
            quota = _Quota(limit if 0 < limit < limits.SMALLINT else limits.SMALLINT)
            for failure in build.failures:
                if quota.takes(failure.kind):
                    xml.tree(_failure(failure))
            _events(xml, build.events, quota)
            _commands(xml, build.commands)
            xml.text("EndBuildTime", seconds(build.end_seconds))
            xml.text("ElapsedMinutes", minutes(build.start_seconds, build.end_seconds))
    return quota.counts()


class _Quota:
    """Counts events by kind, and whether one more may be written."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.seen: dict[Kind, int] = {"error": 0, "warning": 0}

    def takes(self, kind: Kind) -> bool:
        self.seen[kind] += 1
        return self.seen[kind] <= self.limit

    def left_out(self, kind: Kind) -> int:
        return max(0, self.seen[kind] - self.limit)

    def counts(self) -> Counts:
        return Counts(
            errors=min(self.seen["error"], self.limit),
            warnings=min(self.seen["warning"], self.limit),
            errors_left_out=self.left_out("error"),
            warnings_left_out=self.left_out("warning"),
        )


def _events(xml: XmlStream, events: Iterable[LogEvent | Failure], quota: _Quota) -> None:
    """Write events. The last one of each kind is written at the end, when it is known how many more there were.

    CDash shows errors and warnings on separate pages, so their order among each other does not matter.
    """
    waiting: dict[Kind, LogEvent | Failure] = {}
    for event in events:
        if not quota.takes(event.kind):
            continue
        if quota.seen[event.kind] == quota.limit:
            waiting[event.kind] = event
        else:
            xml.tree(_finding(event))
    for kind, event in waiting.items():
        xml.tree(_finding(_with_rest(event, quota.left_out(kind))))


def _finding(finding: LogEvent | Failure) -> etree._Element:
    return _event(finding) if isinstance(finding, LogEvent) else _failure(finding)


def _with_rest(event: LogEvent | Failure, left_out: int) -> LogEvent | Failure:
    if not left_out or isinstance(event, Failure):
        return event
    kinds = event.kind + ("s" if left_out > 1 else "")
    note = f"\n[{left_out} more {kinds} left out here: notes and uploads hold the log]\n"
    return replace(event, post_context=event.post_context + note)


def _event(event: LogEvent) -> etree._Element:
    node = etree.Element(_TAGS[event.kind])
    leaf(node, "BuildLogLine", min(max(event.log_line, 0), limits.INTEGER))
    leaf(node, "Text", event.text)
    if event.file:
        leaf(node, "SourceFile", cut(event.file, characters=limits.LONG_STRING))
        if event.file_line is not None and 0 <= event.file_line <= limits.INTEGER:
            leaf(node, "SourceLineNumber", event.file_line)
    leaf(node, "PreContext", event.pre_context)
    leaf(node, "PostContext", event.post_context)
    leaf(node, "RepeatCount", 0)
    return node


def _failure(failure: Failure) -> etree._Element:
    node = etree.Element("Failure", type=_TAGS[failure.kind])
    action = etree.SubElement(node, "Action")
    for tag, value, width in (
        ("TargetName", failure.target_name, limits.LONG_STRING),
        ("Language", failure.language, limits.LANGUAGE),
        ("SourceFile", failure.source_file, limits.LONG_STRING),
        ("OutputFile", failure.output_file, limits.LONG_STRING),
        ("OutputType", failure.output_type, limits.STRING),
    ):
        if value:
            leaf(action, tag, cut(value, characters=width))
    command = etree.SubElement(node, "Command")
    if failure.working_directory:
        leaf(command, "WorkingDirectory", cut(failure.working_directory, characters=limits.LONG_STRING))
    for argument in failure.arguments or ("",):
        fragment(command, "Argument", argument)
    result = etree.SubElement(node, "Result")
    leaf(result, "StdOut", _joined(failure.stdout))
    leaf(result, "StdErr", _joined(failure.stderr))
    leaf(result, "ExitCondition", cut(failure.exit_condition, characters=limits.STRING))
    labels(node, failure.labels)
    return node


def _joined(content: Content) -> str:
    return "".join(excerpt(content, limit_bytes=limits.NOTE_BYTES))


def _commands(xml: XmlStream, commands: Iterable[Command]) -> None:
    """Write `<Commands>`, unless there are none: the schema requires one in it."""
    walk = iter(commands)
    first = next(walk, None)
    if first is None:
        return
    with xml.element("Commands"):
        xml.tree(_command(first))
        for command in walk:
            xml.tree(_command(command))


def _command(command: Command) -> etree._Element:
    duration = _milliseconds(command.duration_seconds, limits.INTEGER)
    node = etree.Element(
        command.kind,
        {
            "command": cut(command.command, characters=limits.COMMAND),
            "workingDir": cut(command.working_directory, characters=limits.COMMAND),
            "duration": str(duration),
            "result": cut(command.result, characters=limits.LONG_STRING),
            "timeStart": str(_milliseconds(command.start_seconds, limits.UNSIGNED * 1000)),
            "version": "1",
        },
    )
    written = [_measurement(node, measurement) for measurement in command.measurements]
    if not any(written):  # the schema requires one
        _measurement(node, Measurement(name="DurationMilliseconds", value=duration))
    return node


def _measurement(parent: etree._Element, measurement: Measurement) -> bool:
    value = measurement.value
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return False
        value = number(value)
    node = etree.SubElement(
        parent,
        "NamedMeasurement",
        {"type": measurement.type, "name": cut(measurement.name, characters=limits.LONG_STRING)},
    )
    fragment(node, "Value", _joined(value))
    return True


def _milliseconds(value: float, highest: int) -> int:
    return min(max(round(value * 1000), 0), highest) if math.isfinite(value) else 0
