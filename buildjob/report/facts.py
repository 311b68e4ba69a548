"""The page's sections of facts: the spec, the CI job, the machine, the versions, and how to build the same again.

Pure; all foreign text passes through `markup`, and a list that is cut says how many items are missing.
"""

from collections.abc import Iterable, Sequence

from buildjob.report import markup
from buildjob.report.foreign_text import escape_and_cut
from buildjob.report.format import format_bytes, format_cores
from buildjob.report.limits import read_limits
from buildjob.report.markup import Html, element, join
from buildjob.telemetry import Job, PackageSpec, Telemetry

_DEPENDENCIES = 40
_VARIANTS = 40
_VARIABLES = 20
_NAME, _WORD, _COMMANDS = 80, 120, 8000


def reproduce(telemetry: Telemetry, *, commands: str) -> Html:
    """Return the commands that build the same again, one a line so that they can be copied, and the settings that matter."""
    source = telemetry.reproduce
    facts = [
        ("Spack commit", _code(source.spack_commit)),
        ("Packages commit", _code(source.packages_commit)),
        ("Concrete spec", _code(source.concrete_spec)),
        ("Image", _code(source.image_digest)),
    ]
    variables = [
        _code(f"{escape_and_cut(name, limit=_NAME)}={escape_and_cut(value, limit=_NAME)}")
        for name, value in list(source.variables.items())[:_VARIABLES]
    ]
    facts.append(("Variables", _and_more(variables, total=len(source.variables))))
    return _section("Reproduce", [_commands(commands), _list(facts)])


def spec(telemetry: Telemetry) -> Html:
    """Return what was built in full: hash, variants, direct dependencies."""
    package = telemetry.spec
    facts = [
        ("Hash", _code(package.hash)),
        ("Architecture", _code(package.architecture)),
        ("Compiler", _code(package.compiler)),
        ("Variants", _variants(package)),
        ("Dependencies", _dependencies(package)),
    ]
    return _section("Spec", [_list(facts)])


def job(telemetry: Telemetry) -> Html:
    """Return the CI job's facts; nothing outside CI."""
    known = telemetry.job
    if not isinstance(known, Job):
        return Html()
    name = escape_and_cut(known.name or known.id or "job", limit=_WORD)
    ref = join(_code(known.ref), " (protected)" if known.ref_protected else "") if known.ref else Html()
    facts = [
        ("Job", markup.link(name, known.url) if known.url else markup.text(name)),
        ("Job id", _code(known.id)),
        ("Pipeline", _linked(known.pipeline_id, known.pipeline_url)),
        ("Project", _code(known.project)),
        ("Ref", ref),
        ("Commit", _linked(known.commit[:12], known.commit_url)),
        ("Stack", _code(known.stack)),
        ("Attempt", markup.text(str(known.attempt)) if known.attempt else Html()),
        ("Image", _code(known.image)),
        ("Runner", _code(known.runner)),
        ("Pod", _code(known.pod)),
        ("Node", _code(known.node)),
    ]
    return _section("CI job", [_list(facts)])


def machine(telemetry: Telemetry) -> Html:
    """Return where the build ran, when, and with which programs."""
    where, versions = telemetry.machine, telemetry.versions
    limits = read_limits(telemetry)
    limit = f"limit {format_cores(limits.cores)}" if limits.has_cpu_limit and limits.cores else "no limit"
    facts = [
        ("Started", _code(telemetry.started_at)),
        ("Ended" if telemetry.complete else "Last written", _code(telemetry.ended_at)),
        ("Exit code", _code(str(telemetry.exit_code)) if telemetry.complete else Html()),
        ("CPUs", markup.text(f"{where.cpus}, {limit}") if where.cpus > 0 else Html()),
        ("Memory", markup.text(format_bytes(where.memory_bytes)) if where.memory_bytes > 0 else Html()),
        ("Control group", markup.text(where.cgroup)),
        ("spack-farm", _code(versions.spack_farm)),
        ("Spack", _code(versions.spack)),
        ("Python", _code(versions.python)),
    ]
    return _section("Run", [_list(facts)])


def _commands(commands: str) -> Html:
    """Return the commands in one block that can be copied as it is; a note says if its end was cut."""
    kept, left = commands.strip("\n"), 0
    if len(kept) > _COMMANDS:
        kept, left = kept[:_COMMANDS], len(kept) - _COMMANDS
    if not kept:
        return Html()
    lines = Html("\n").join(markup.text(line, limit=_COMMANDS) for line in kept.split("\n"))
    note = element("p", f"{left:,} characters were cut.", class_="note") if left else ""
    return join(element("pre", element("code", Html(lines)), class_="commands", tabindex="0", aria_label="Commands"), note)


def _variants(package: PackageSpec) -> Html:
    shown = []
    for name, value in list(package.variants.items())[:_VARIANTS]:
        match value:
            case bool():
                written = f"{'+' if value else '~'}{escape_and_cut(name, limit=_NAME)}"
            case str():
                written = f"{escape_and_cut(name, limit=_NAME)}={escape_and_cut(value, limit=_NAME)}"
            case _:
                written = f"{escape_and_cut(name, limit=_NAME)}={escape_and_cut(','.join(value), limit=_NAME)}"
        shown.append(element("code", written))
    return _and_more(shown, total=len(package.variants))


def _dependencies(package: PackageSpec) -> Html:
    shown = [
        element("code", markup.text(f"{dependency.name}@{dependency.version}", limit=_NAME))
        for dependency in package.dependencies[:_DEPENDENCIES]
    ]
    return _and_more(shown, total=len(package.dependencies))


def _and_more(shown: Sequence[Html], *, total: int) -> Html:
    more = f" and {total - len(shown):,} more" if total > len(shown) else ""
    return join(Html(" ".join(shown)), more)


def _linked(value: str, url: str) -> Html:
    """Return a value that leads to its page where there is one."""
    return markup.link(escape_and_cut(value, limit=_WORD), url) if value and url else _code(value)


def _code(value: str) -> Html:
    return element("code", markup.text(value, limit=_WORD)) if value else Html()


def _list(facts: Iterable[tuple[str, Html]]) -> Html:
    known = [join(element("dt", name), element("dd", value)) for name, value in facts if value]
    return element("dl", *known, class_="facts") if known else Html()


def _section(title: str, parts: Sequence[Html]) -> Html:
    filled = [part for part in parts if part]
    return element("section", element("h2", title), *filled) if filled else Html()
