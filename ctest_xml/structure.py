"""The structure of CDash's documents: the children of each element, their order, attributes and types.

Restates CDash 5.3, app/Validators/Schemas/*.xsd, so that `check` needs neither the schemas nor lxml; a test holds the two in
agreement. Omits Coverage, DynamicAnalysis and Project, which package builds do not have. Knows nothing of what CDash does
with a valid document: that is `losses`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ctest_xml import limits

Type = str
STRING, INT, UNSIGNED, UNSIGNED_LONG, INTEGER, SHORT, DECIMAL, FLOAT, BOOLEAN, UNSIGNED_SHORT = (
    "string",
    "int",
    "unsignedInt",
    "unsignedLong",
    "integer",
    "short",
    "decimal",
    "float",
    "boolean",
    "unsignedShort",
)
_WHOLE = re.compile(r"[+-]?[0-9]+")


def _within(low: int, high: int) -> Callable[[str], bool]:
    # Python refuses to convert texts of more than 4300 digits; the schema's types have none of that size.
    return lambda text: bool(_WHOLE.fullmatch(text)) and len(text) < 4000 and low <= int(text) <= high


_TYPES: dict[Type, Callable[[str], bool]] = {
    STRING: lambda _: True,
    INT: _within(-limits.INTEGER - 1, limits.INTEGER),
    UNSIGNED: _within(0, limits.UNSIGNED),
    UNSIGNED_LONG: _within(0, 2**64 - 1),
    UNSIGNED_SHORT: _within(0, 2**16 - 1),
    SHORT: _within(-limits.SMALLINT - 1, limits.SMALLINT),
    INTEGER: lambda text: bool(_WHOLE.fullmatch(text)),
    DECIMAL: lambda text: bool(re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)", text)),
    FLOAT: lambda text: bool(re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([Ee][+-]?[0-9]+)?|-?INF|NaN", text)),
    BOOLEAN: lambda text: text in {"true", "false", "1", "0"},
}


def is_a(kind: Type, text: str) -> bool:
    """Return whether a text is a value of a schema type; spaces around it do not count."""
    return _TYPES[kind](text if kind == STRING else text.strip(" \t\r\n"))


@dataclass(frozen=True)
class Element:
    """What one element may hold. Without `order` it holds a text of the type `text`."""

    order: str = ""
    """Its children, as names with `?`, `*`, `+`, `|` and parentheses."""
    children: Mapping[str, "Element"] = field(default_factory=dict)
    attributes: Mapping[str, Type] = field(default_factory=dict)
    """Name -> type; a name that ends with `!` is required."""
    text: Type = STRING
    anything: bool = False
    """Whether it holds text and elements of any kind (the schema's LogType)."""
    mixed: bool = False
    """Whether there may be text between its children."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The order as a pattern for the children's names, each followed by a space."""
        # `Label+` becomes `(?:Label )+`. The space ends each name, so that `File` does not match the start of `FileName`. A
        # NUL holds its place while the spaces of `order` itself are removed.
        marked = re.sub(r"\w+", lambda name: f"(?:{name[0]}\0)", self.order)
        return re.compile(marked.replace(" ", "").replace("\0", " "))

    @cached_property
    def types(self) -> dict[str, Type]:
        """Name -> type of each attribute."""
        return {name.removesuffix("!"): kind for name, kind in self.attributes.items()}

    @cached_property
    def required(self) -> tuple[str, ...]:
        """The names of the attributes that must be there."""
        return tuple(name[:-1] for name in self.attributes if name.endswith("!"))

    def misplaced(self, names: list[str]) -> bool:
        """Return whether there are too few or too many children, or in a wrong order."""
        return not self.pattern.fullmatch("".join(f"{name} " for name in names))


def _any_of(*names: str, times: str = "+") -> str:
    return f"({'|'.join(names)}){times}"


_TEXT = Element()
_LOG = Element(anything=True, attributes=dict.fromkeys(("compression", "Compression", "encoding", "Encoding"), STRING))
_LABELS = Element(order="Label+", children={"Label": _TEXT})
_SUBPROJECT = Element(order="Label?", children={"Label": _TEXT}, attributes={"name!": STRING})

_SITE = {
    **dict.fromkeys(("BuildName!", "BuildStamp!", "Name!"), STRING),
    "Append": BOOLEAN,
    "Is64Bits": SHORT,
    "ProcessorClockFrequency": FLOAT,
    **dict.fromkeys(
        ("FamilyID", "ModelID", "ProcessorCacheSize", "NumberOfLogicalCPU", "NumberOfPhysicalCPU", "TotalVirtualMemory"), INT
    ),
    **dict.fromkeys(("TotalPhysicalMemory", "LogicalProcessorsPerPhysical"), INT),
    **dict.fromkeys(
        ("Generator", "CompilerName", "CompilerVersion", "OSName", "Hostname", "OSRelease", "OSVersion"), STRING
    ),
    **dict.fromkeys(("OSPlatform", "VendorString", "VendorID", "ModelName", "ChangeId"), STRING),
}

_MEASUREMENT = Element(order="Value", children={"Value": _TEXT}, attributes={"type!": STRING, "name!": STRING})
_OUTPUT = Element(attributes={"name!": STRING, "size!": UNSIGNED_LONG}, order="(Nothing)?")
_OUTPUTS = Element(order="Output", children={"Output": _OUTPUT})
_COMMAND = {
    **dict.fromkeys(("command!", "workingDir!", "result!", "cmakeContent"), STRING),
    **dict.fromkeys(("duration!", "timeStart!", "version"), INTEGER),
}
_MEASURED = Element(order="NamedMeasurement+", children={"NamedMeasurement": _MEASUREMENT}, attributes=_COMMAND)
_BOTH = {"NamedMeasurement": _MEASUREMENT, "Outputs": _OUTPUTS}
# Each needs a measurement or an output. The schema allows outputs in these three only.
_CUSTOM = Element(order=_any_of(*_BOTH), children=_BOTH, attributes=_COMMAND)
_LINK = Element(order=_any_of(*_BOTH), children=_BOTH, attributes=_COMMAND | {"config!": STRING, "language!": STRING})
_COMPILE = Element(order=_any_of(*_BOTH), children=_BOTH, attributes=dict(_LINK.attributes) | {"source!": STRING})


def _holding(
    children: dict[str, Element], *, order: str = "", attributes: dict[str, Type] | None = None, times: str = "+"
) -> Element:
    return Element(order=order or _any_of(*children, times=times), children=children, attributes=attributes or {})


def _event(number: Type) -> Element:
    children = dict.fromkeys(("Text", "SourceFile", "PreContext", "PostContext"), _TEXT)
    children |= dict.fromkeys(("BuildLogLine", "SourceLineNumber", "RepeatCount"), Element(text=number))
    return _holding(children, order="BuildLogLine Text SourceFile? SourceLineNumber? PreContext PostContext RepeatCount")


_FAILURE = _holding(
    {
        "Action": _holding(
            dict.fromkeys(("TargetName", "Language", "SourceFile", "OutputFile", "OutputType"), _TEXT),
            order="TargetName? Language? SourceFile? OutputFile? OutputType?",
        ),
        "Command": _holding(dict.fromkeys(("WorkingDirectory", "Argument"), _TEXT), order="WorkingDirectory? Argument+"),
        "Result": _holding(dict.fromkeys(("StdOut", "StdErr", "ExitCondition"), _TEXT)),
        "Labels": _LABELS,
    },
    attributes={"type!": STRING},
    times="*",
)
_TARGET = _holding(
    {"Labels": _LABELS, "Commands": _holding({"Compile": _COMPILE, "Link": _LINK})},
    order="Labels? Commands Labels?",
    attributes={"name!": STRING, "type!": STRING},
)
_BUILD = _holding(
    {
        "Labels": _LABELS,
        **dict.fromkeys(("StartDateTime", "EndDateTime", "SourceDirectory", "BinaryDirectory", "BuildCommand"), _TEXT),
        **dict.fromkeys(("StartBuildTime", "EndBuildTime"), Element(text=UNSIGNED)),
        "Error": _event(INT),
        "Warning": _event(UNSIGNED),
        "Failure": _FAILURE,
        "Targets": _holding({"Target": _TARGET}),
        "Commands": _holding(dict.fromkeys(("CmakeBuild", "CmakeInstall", "Install"), _MEASURED) | {"Custom": _CUSTOM}),
        "Log": _LOG,
        "ElapsedMinutes": Element(text=DECIMAL),
    },
    times="*",
)
_CONFIGURE = Element(
    order="StartDateTime? StartConfigureTime? ConfigureCommand Log ConfigureStatus EndDateTime? EndConfigureTime? "
    "ElapsedMinutes Commands?",
    children={
        **dict.fromkeys(("StartDateTime", "EndDateTime", "ConfigureCommand", "ConfigureStatus"), _TEXT),
        **dict.fromkeys(("StartConfigureTime", "EndConfigureTime"), Element(text=UNSIGNED)),
        "Log": _LOG,
        "ElapsedMinutes": Element(text=DECIMAL),
        "Commands": _holding(dict.fromkeys(("Generate", "Configure"), _MEASURED)),
    },
    mixed=True,
)
_PACKED = dict.fromkeys(("encoding", "compression"), STRING)
_TEST_MEASUREMENT = Element(
    order="Value",
    children={"Value": _TEXT},
    attributes={"type!": STRING, "name!": STRING, "filename": STRING, **_PACKED},
)
_TEST = _holding(
    {
        **dict.fromkeys(("Name", "Path", "FullName", "FullCommandLine", "StartTestTime"), _TEXT),
        "Results": _holding(
            {
                "NamedMeasurement": _TEST_MEASUREMENT,
                "Measurement": _holding({"Value": Element(attributes=_PACKED)}, order="Value"),
            },
            order="(NamedMeasurement|Measurement)*",
        ),
        "NamedMeasurement": _TEST_MEASUREMENT,
        "Labels": _LABELS,
    },
    order="Name Path FullName FullCommandLine StartTestTime? Results NamedMeasurement* Labels?",
    attributes={"Status!": STRING},
)
_TESTING = _holding(
    {
        **dict.fromkeys(("StartDateTime", "StartTestTime", "EndDateTime", "EndTestTime"), _TEXT),
        "TestList": _holding({"Test": _TEXT}, order="Test*"),
        "Test": _TEST,
        "ElapsedMinutes": Element(text=DECIMAL),
    },
    order="StartDateTime? StartTestTime? TestList? Test* EndDateTime? EndTestTime? ElapsedMinutes?",
)
_NOTE = _holding(
    {"Time": _TEXT, "DateTime": _TEXT, "Text": _LOG}, order="Time? DateTime? Text?", attributes={"Name": STRING}
)
_FILE = _holding({"Content": _LOG}, attributes={"filename!": STRING}, order="Content")
_FILE_OF_UPDATE = Element(attributes={"Directory": STRING})
_REVISIONS = _holding(
    dict.fromkeys(("Revision", "PreviousRevision", "Author", "Date", "Comment", "Email"), _TEXT),
    order="Revision PreviousRevision Author Date Comment Email",
)
_UPDATED = _holding(
    {
        "File": _FILE_OF_UPDATE,
        **dict.fromkeys(("Directory", "FullName", "CheckinDate", "Author", "Email", "Committer", "CommitterEmail"), _TEXT),
        **dict.fromkeys(("CommitDate", "Revision", "PriorRevision"), _TEXT),
        "Log": _LOG,
        "Revisions": _REVISIONS,
    }
)
_DIRECTORY = _holding(
    {"Name": _TEXT, **dict.fromkeys(("Updated", "Modified", "Conflicting"), _UPDATED)},
    order="Name (Updated|Modified|Conflicting)+",
)


def _site(order: str, **children: Element) -> Element:
    return Element(order=order, children={"Subproject": _SUBPROJECT, "Labels": _LABELS, **children}, attributes=_SITE)


DOCUMENTS: dict[str, tuple[str, Element]] = {
    "Build": ("Site", _site("(Subproject|Labels|Build)+", Build=_BUILD)),
    "Configure": ("Site", _site("Subproject* Labels? Configure", Configure=_CONFIGURE)),
    "Testing": ("Site", _site("Subproject* Labels* Testing", Testing=_TESTING)),
    "Notes": ("Site", _site("Subproject? Labels? Notes", Notes=_holding({"Note": _NOTE}))),
    "Upload": ("Site", _site("(Labels|Upload)*", Upload=_holding({"Time": _TEXT, "File": _FILE}, times="*"))),
    "Update": (
        "Update",
        _holding(
            {
                **dict.fromkeys(("Site", "BuildName", "BuildStamp", "StartDateTime", "UpdateCommand", "UpdateType"), _TEXT),
                **dict.fromkeys(("Revision", "PriorRevision", "Path", "EndDateTime", "UpdateReturnStatus"), _TEXT),
                **dict.fromkeys(("StartTime", "EndTime"), Element(text=UNSIGNED)),
                "ChangeId": Element(text=UNSIGNED_SHORT),
                "ElapsedMinutes": Element(text=DECIMAL),
                "Directory": _DIRECTORY,
                "Author": _holding({"Name": _TEXT, "File": _FILE_OF_UPDATE}, order="Name File+"),
            },
            attributes={"mode!": STRING, "Generator!": STRING, "Append": STRING},
        ),
    ),
    "Done": ("Done", _holding(dict.fromkeys(("buildId", "time"), _TEXT), order="buildId time", attributes={"retries": INT})),
}
"""Kind of document -> the name of its root and what it holds."""
