"""What CDash rejects, cuts or loses of documents that its schema allows: rules for one element at a time.

Each rule yields the reasons. Knows nothing of parsing. Obeys: CDash 5.3, app/Http/Submission/Handlers/*Handler.php,
app/Utils/{TestCreator,NoteCreator}.php, database/pgsql-schema.sql.
"""

import re
from collections.abc import Iterator

from ctest_xml import limits
from ctest_xml.elements import Seen

_STAMP = re.compile(r"[0-9]{8}-[0-9]{4}-.+", re.DOTALL)
_STATUSES = frozenset({"passed", "failed", "notrun"})

_NAMES = ("BuildName", "BuildStamp", "Name", "Generator")
_SHORT = ("CompilerName", "CompilerVersion", "OSName", "OSRelease", "OSVersion", "OSPlatform")

ATTRIBUTE_WIDTHS: dict[str, dict[str, int]] = {
    "Site": dict.fromkeys((*_NAMES, *_SHORT), limits.STRING) | {"ChangeId": limits.CHANGE_ID},
    "Subproject": {"name": limits.STRING},
    "Note": {"Name": limits.STRING},
    "File": {"filename": limits.STRING},
    "Target": {"name": limits.STRING},
    "Compile": {"config": 32, "language": 32},
    "Link": {"config": 32, "language": 32},
    "NamedMeasurement": {"type": limits.LONG_STRING, "name": limits.LONG_STRING},
}
"""Element -> attribute -> characters."""

TEXT_WIDTHS: dict[tuple[str, str], int] = {
    ("Error", "SourceFile"): limits.LONG_STRING,
    ("Warning", "SourceFile"): limits.LONG_STRING,
    ("Action", "SourceFile"): limits.LONG_STRING,
    ("Action", "OutputFile"): limits.LONG_STRING,
    ("Action", "TargetName"): limits.LONG_STRING,
    ("Action", "Language"): limits.LANGUAGE,
    ("Command", "WorkingDirectory"): limits.LONG_STRING,
    ("Command", "Argument"): limits.ARGUMENT,
    ("Result", "ExitCondition"): limits.STRING,
    ("Labels", "Label"): limits.STRING,
    ("Subproject", "Label"): limits.STRING,
    ("Test", "Path"): limits.STRING,
    ("Update", "Revision"): limits.REVISION,
    ("Update", "PriorRevision"): limits.REVISION,
    ("Update", "UpdateType"): limits.UPDATE_TYPE,
    ("Update", "Site"): limits.STRING,
    ("Update", "BuildName"): limits.STRING,
    ("Update", "BuildStamp"): limits.STRING,
}
"""Parent and element -> characters."""

COUNTED = {"Error": "errors", "Warning": "warnings", "Test": "tests"}
"""Element -> what CDash counts in a smallint column."""


def losses(seen: Seen) -> Iterator[str]:
    """Yield what CDash would not store of an element that has ended, as messages."""
    place = (seen.parent, seen.name)
    if seen.attributes:
        yield from _attributes(seen)
    width = TEXT_WIDTHS.get(place)
    if width is not None and seen.characters > width:
        yield f"{seen.characters} characters, CDash's column holds {width}"
    if seen.keeps_last_fragment:
        yield from _fragments(seen)
    if seen.packed:
        yield from seen.packed.losses()
    rule = _AT_PLACE.get(place) or _ANYWHERE.get(seen.name)
    if rule:
        yield from rule(seen)


def _attributes(seen: Seen) -> Iterator[str]:
    for name, width in ATTRIBUTE_WIDTHS.get(seen.name, {}).items():
        if len(seen.attributes.get(name, "")) > width:
            length = len(seen.attributes[name])
            yield f"{name} has {length} characters, CDash's column holds {width}: CDash would lose the file"
    for name, value in seen.attributes.items():
        if len(value) > limits.ATTRIBUTE_BYTES:
            yield f"{name} has over {limits.ATTRIBUTE_BYTES} characters: CDash stops parsing there"


def _fragments(seen: Seen) -> Iterator[str]:
    # PHP's parser calls `text()` once for each entity, each CDATA section and each stretch of other text. In
    # these fields CDash assigns instead of appending, so that a call erases what the one before has stored.
    if seen.entities + seen.sections + seen.plain > 1:
        yield "CDash keeps only what follows the last entity: use one CDATA section"
    if seen.size > limits.UNSPLIT_BYTES:
        # CDash reads 8192 bytes at a time. Where a read ends, its parser may split a text, but not a short one.
        most = limits.UNSPLIT_BYTES
        yield f"{seen.size} bytes may be read in two pieces, of which CDash keeps the last: at most {most}"


def _site(seen: Seen) -> Iterator[str]:
    yield from _identity(
        seen.attributes.get("BuildName", ""), seen.attributes.get("BuildStamp", ""), seen.attributes.get("Name", "")
    )
    if seen.document in {"Notes", "Upload"} and "Generator" not in seen.attributes:  # optional in the schema
        yield "there is no Generator: CDash's job fails"
    # submit.php doubles apostrophes in the query string, so its build is not the document's.
    if "'" in seen.attributes.get("BuildName", "") + seen.attributes.get("BuildStamp", ""):
        yield "an apostrophe in BuildName or BuildStamp makes a second build"


def _identity(name: str, stamp: str, site: str) -> Iterator[str]:
    if not name.strip() or not site.strip():
        yield "the build or site name is empty: CDash finds no build"
    if not _STAMP.fullmatch(stamp):
        yield "BuildStamp is not YYYYMMDD-HHMM-<group>: CDash finds no group"


def _update(seen: Seen) -> Iterator[str]:
    texts = seen.child_texts
    yield from _identity(texts.get("BuildName", ""), texts.get("BuildStamp", ""), texts.get("Site", ""))


def _note(seen: Seen) -> Iterator[str]:
    if not re.fullmatch(r"\s*[1-9][0-9]{0,9}\s*", seen.child_texts.get("Time", "")):
        yield "the note has no Time above 0: CDash drops it"
    if not seen.child_texts.get("Text"):
        yield "the note has no text: CDash refuses it"
    if not seen.attributes.get("Name"):
        yield "the note has no name: CDash refuses it"


def _file(seen: Seen) -> Iterator[str]:
    name = seen.attributes.get("filename", "").rpartition("/")[2]
    if "." not in name or name.endswith("."):
        yield f"the file {name!r} has no extension: CDash's job fails and loses the whole upload"


def _content(seen: Seen) -> Iterator[str]:
    if seen.attributes.get("encoding") != "base64":
        yield "the content is not encoding=base64: CDash drops this file and all later ones"


def _status(seen: Seen) -> Iterator[str]:
    if seen.attributes.get("Status") not in _STATUSES:
        yield "Status is not passed, failed or notrun: CDash would lose the file"


def _test_name(seen: Seen) -> Iterator[str]:
    if seen.size > limits.STRING:
        yield f"the test's name has {seen.size} bytes: CDash cuts it at 255, perhaps within a character"


def _output(seen: Seen) -> Iterator[str]:
    if seen.attributes.get("encoding") == "base64" and not seen.attributes.get("compression"):
        yield "encoding=base64 without compression: CDash stores the base64 text as it is"


def _configure_status(seen: Seen) -> Iterator[str]:
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", seen.head) or int(seen.head) > limits.SMALLINT:
        yield "ConfigureStatus is not a number of errors from 0 to 32767"


def _log_of_build(seen: Seen) -> Iterator[str]:
    if seen.characters:
        yield "CDash does not store Build.xml's Log: use notes or uploads"


def _commands_of_configure(_: Seen) -> Iterator[str]:
    yield "CDash does not store Configure.xml's Commands: put them into Build.xml"


def _number(seen: Seen) -> Iterator[str]:
    text = seen.head.strip()
    # Twenty digits are enough to see that a number is too large; Python refuses to convert thousands of them.
    if re.fullmatch(r"[0-9]+", text) and int(text[:20]) > limits.INTEGER:
        yield f"{text[:20]} is more than CDash's integer column holds"


def _duration(seen: Seen) -> Iterator[str]:
    duration = seen.attributes.get("duration", "").strip()
    if re.fullmatch(r"[0-9]+", duration) and int(duration[:20]) > limits.INTEGER:
        yield "the duration is more than 2147483647 ms, which CDash's integer column cannot hold"


def _build_measurement(seen: Seen) -> Iterator[str]:
    width = limits.MEASUREMENT_TYPE if seen.document == "Testing" else limits.LONG_STRING
    if len(seen.attributes.get("type", "")) > width:
        yield f"the measurement's type has over {width} characters"


_AT_PLACE = {
    ("/", "Site"): _site,
    ("/", "Update"): _update,
    ("File", "Content"): _content,
    ("Testing", "Test"): _status,
    ("Test", "Name"): _test_name,
    ("Measurement", "Value"): _output,
    ("Configure", "ConfigureStatus"): _configure_status,
    ("Build", "Log"): _log_of_build,
    ("Configure", "Commands"): _commands_of_configure,
}
_ANYWHERE = {
    "Note": _note,
    "File": _file,
    "BuildLogLine": _number,
    "SourceLineNumber": _number,
    "Custom": _duration,
    "Install": _duration,
    "CmakeBuild": _duration,
    "CmakeInstall": _duration,
    "Compile": _duration,
    "Link": _duration,
    "NamedMeasurement": _build_measurement,
}
