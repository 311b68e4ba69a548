"""Spack's `ci:` section: which attributes each job has. Pure: matching specs is given as a function.

As Spack applies it (1.1, lib/spack/spack/ci/common.py, `SpackCIConfig.generate_ir`, `merge_yaml`, `remove_yaml`): the first
section has the last word, lists of a stronger one come first, `key::` replaces, `key+:` and `key-:` put before and behind.
Differs in one thing: of a submapping's rows, the first that matches counts, not the last. Rows that can never count are
rejected, and so is what Spack would reject.
"""

import copy
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .specs import BadRequest

NAMED = ("any", "build", "copy", "cleanup", "noop", "reindex", "signing")
OTHERS = ("copy", "cleanup", "noop", "reindex", "signing")
"""Jobs that build no spec."""
RESERVED_TAGS = ("public", "protected", "notary")
KEYS = ("pipeline-gen", "rebuild-index", "broken-specs-url", "broken-tests-packages", "target")
SCRIPT = ["spack-farm build --ci"]
_MARKS = {":": "replace", "+": "before", "-": "behind"}
_DEFAULTS: List[Dict[str, Any]] = [
    {"build-job": {"script": SCRIPT}},
    {"noop-job": {"script": ['echo "All specs already up to date, nothing to rebuild."']}},
    {"reindex-job": {"script": ["spack-farm publish index {index_target_mirror}"]}},
]
_OVERRIDES: List[Dict[str, Any]] = [
    {"signing-job": {"tags": ["aws", "protected", "notary"]}},
    {"any-job-remove": {"tags": list(RESERVED_TAGS)}},
]

Matches = Callable[[str, str], bool]
"""(key of a spec, spec as text) -> whether they intersect."""
Covers = Callable[[str, str], bool]
"""(spec as text, another) -> whether whatever matches the other one matches the first, too."""
Dynamic = Callable[[Mapping[str, Any], str], Mapping[str, Any]]
"""(a dynamic mapping, key of a spec) -> the attributes that its server answers."""


class Jobs(NamedTuple):
    """Attributes by key of a spec, and by name of another job; what people should know."""

    specs: Dict[str, Dict[str, Any]]
    named: Dict[str, Dict[str, Any]]
    warnings: List[str]


class Key(str):
    """A key with the mark that it ends with in the file."""

    __slots__ = ("mark",)
    mark: str


class Specs(NamedTuple):
    """How specs are matched, and in which order rows are tried: `first` is from the top, `last` Spack's own."""

    matches: Matches
    covers: Covers
    dynamic: Dynamic
    order: str


def jobs(config: Mapping[str, Any], variables: Mapping[str, Mapping[str, str]], specs: Specs) -> Jobs:
    """Return the attributes of all jobs; `variables` are those that each spec's job starts with, by key.

    Raises BadRequest, naming the section, for what is no `ci:` section of Spack, or has a row that can never count.
    """
    warnings = [f"ci:{key}: this key is unknown; nothing is done for it" for key in sorted(set(config) - set(KEYS))]
    target = config.get("target", "gitlab")
    if target != "gitlab":
        raise BadRequest(f"ci:target is {target!r}; pipelines are made for gitlab only")
    found: Dict[str, Dict[str, Any]] = {key: {"variables": dict(given)} for key, given in variables.items()}
    named: Dict[str, Dict[str, Any]] = {name: {} for name in OTHERS}
    sections = config.get("pipeline-gen") or []
    if not isinstance(sections, (list, tuple)):
        raise BadRequest("ci:pipeline-gen must be a list")
    numbered: List[Tuple[str, Mapping[str, Any]]] = [("", each) for each in _OVERRIDES]
    numbered += [(f"ci:pipeline-gen[{number}]", each) for number, each in enumerate(sections)]
    numbered += [("", each) for each in _DEFAULTS]
    for where, given in reversed(numbered):
        if not isinstance(given, Mapping) or not given:
            raise BadRequest(f"{where} must be a mapping")
        section = _unmarked(given)
        if "submapping" in section:
            warnings += _submapping(where, section, found, specs)
        elif "dynamic-mapping" in section:
            for key, attributes in found.items():
                merged(attributes, marked(dict(specs.dynamic(plain(marked(section["dynamic-mapping"])), key))))
        else:
            _named(where, section, found, named)
    if any("cleanup-job" in _unmarked(section) for section in sections):
        warnings.append("ci:pipeline-gen:cleanup-job: no job is made of it, as Spack's own generator makes none")
    return Jobs(
        {key: _with_variables(plain(each), variables[key]) for key, each in found.items()},
        {key: plain(each) for key, each in named.items()},
        warnings,
    )


def _with_variables(attributes: Dict[str, Any], own: Mapping[str, str]) -> Dict[str, Any]:
    """Return a job that says which spec it builds, whatever a section has replaced or removed."""
    attributes["variables"] = {**own, **(attributes.get("variables") or {})}
    return attributes


def _unmarked(section: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a section whose keys have no `::`: nothing is there yet that it could replace."""
    return {key[:-1] if key[-1:] == ":" else key: value for key, value in section.items()}


def _named(
    where: str, section: Mapping[str, Any], found: Dict[str, Dict[str, Any]], named: Dict[str, Dict[str, Any]]
) -> None:
    names = [name for name in NAMED if f"{name}-job" in section or f"{name}-job-remove" in section]
    known = {f"{name}-job{suffix}" for name in names for suffix in ("", "-remove")}
    if len(names) != 1 or set(section) - known:
        raise BadRequest(
            "{}: '{}' is none of the sections that Spack knows: submapping, dynamic-mapping, {}".format(
                where, "', '".join(sorted(map(str, section))), ", ".join(name + "-job" for name in NAMED)
            )
        )
    name = names[0]
    given = marked(dict(section))
    chosen = {"build": [found], "any": [found, named]}.get(name, [{name: named.get(name, {})}])
    for each in chosen:
        for key in each:
            _apply(each[key], given, name)


def _apply(attributes: Dict[str, Any], given: Mapping[str, Any], name: str) -> None:
    """Change the attributes of one job as a section says."""
    if f"{name}-job-remove" in given:
        removed(attributes, given[f"{name}-job-remove"])
    if f"{name}-job" in given:
        merged(attributes, given[f"{name}-job"])


def _submapping(where: str, section: Mapping[str, Any], found: Dict[str, Dict[str, Any]], specs: Specs) -> List[str]:
    behavior = section.get("match_behavior", "first")
    rows = [_unmarked(row) if isinstance(row, Mapping) else row for row in section["submapping"]]
    if behavior not in ("first", "merge") or set(section) - {"submapping", "match_behavior"}:
        raise BadRequest(f"{where}: match_behavior must be 'first' or 'merge', beside it only 'submapping'")
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or not row.get("match") or set(row) - {"match", "build-job", "build-job-remove"}:
            raise BadRequest(
                f"{where}:submapping[{number}] must have 'match' and may have 'build-job' and 'build-job-remove'"
            )
    only_one = behavior == "first"
    numbered = list(enumerate(rows))
    tried = numbered if only_one and specs.order == "first" else numbered[::-1]
    warnings = _require_chances(where, [(number, row["match"]) for number, row in tried], specs.covers) if only_one else []
    differing = []
    changes = {number: marked(dict(row)) for number, row in numbered}
    for key in sorted(found):
        matching = [number for number, row in tried if any(specs.matches(key, text) for text in row["match"])]
        if only_one and len(matching) > 1:
            differing.append(key)
        for number in matching[:1] if only_one else matching:
            _apply(found[key], changes[number], "build")
    if differing:
        warnings.append(
            "{}: {} match more than one row; the {} row counts, Spack's own generator takes the last".format(
                where, "1 spec" if len(differing) == 1 else f"{len(differing)} specs", specs.order
            )
        )
    return warnings


def _require_chances(where: str, rows: Sequence[Tuple[int, Sequence[str]]], covers: Covers) -> List[str]:
    """Return a warning for each spec of a row that an earlier row covers; raise BadRequest if that leaves a row none."""
    warnings = []
    earlier: List[Tuple[int, str]] = []
    for number, texts in rows:
        hidden: Dict[str, int] = {}
        for text in texts:
            by = next((first for first, other in earlier if other == text or covers(other, text)), None)
            if by is not None:
                hidden[text] = by
        if len(hidden) == len(set(texts)):
            text = texts[0]
            raise BadRequest(
                f"{where}:submapping[{number}] can never count: all that matches '{text}' matches row {hidden[text]}, which "
                "is tried before it; remove the row, or move it"
            )
        warnings += [
            f"{where}:submapping[{number}]: '{text}' has no effect here, row {by} has it already"
            for text, by in hidden.items()
        ]
        earlier += [(number, text) for text in texts]
    return warnings


def first_match(rows: Sequence[Mapping[str, Any]], key: str, matches: Matches) -> Optional[int]:
    """Return the number of the first row of a match list of ours that a spec matches; None if none does."""
    return next((number for number, row in enumerate(rows) if any(matches(key, text) for text in row["match"])), None)


def require_chances(where: str, rows: Sequence[Mapping[str, Any]], covers: Covers) -> None:
    """Raise BadRequest if a row, or one spec of a row, of a match list of ours can never count."""
    warnings = _require_chances(where, [(number, row["match"]) for number, row in enumerate(rows)], covers)
    if warnings:
        raise BadRequest(warnings[0])


def marked(value: Any) -> Any:
    """Return the value with marked keys: `a::` in a file is read as the key `a:`."""
    if not isinstance(value, dict):
        return value
    found: Dict[str, Any] = {}
    for key, item in value.items():
        new = Key(key[:-1] if key[-1:] in _MARKS else key)
        new.mark = _MARKS.get(key[-1:], "")
        found[new] = marked(item)
    return found


def plain(value: Any) -> Any:
    """Return the value with keys and texts of the plain type, shared with nothing."""
    if isinstance(value, dict):
        return {str.__str__(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def merged(dest: Any, source: Any, mark: str = "") -> Any:
    """Return what the two values are together; `source` has the last word. Changes a mapping or list in place."""
    if source is None:
        return None
    if isinstance(dest, list) and isinstance(source, list):
        rest = [item for item in dest if item not in source]
        dest[:] = rest + source if mark == "behind" else source + rest
        return dest
    if isinstance(dest, dict) and isinstance(source, dict):
        later = [key for key in dest if key not in source]
        for key, value in source.items():
            is_merged, old = key in dest, dest.pop(key, None)
            how = getattr(key, "mark", "")
            dest[key] = merged(old, value, how) if is_merged and how != "replace" else copy.deepcopy(value)
        for key in later:  # what the source has comes first
            dest[key] = dest.pop(key)
        return dest
    if isinstance(dest, str) and isinstance(source, str) and mark in ("before", "behind"):
        return source + dest if mark == "before" else dest + source
    return copy.deepcopy(source)


def removed(dest: Any, source: Any) -> Any:
    """Return the value without what `source` has: entries of lists, keys of mappings. Changes it in place."""
    if source is None:
        return dest
    if isinstance(dest, list) and isinstance(source, list):
        dest[:] = [item for item in dest if item not in source]
        return dest
    if isinstance(dest, dict) and isinstance(source, dict):
        for key, value in source.items():
            if key in dest:
                old = dest.pop(key)
                if getattr(key, "mark", "") != "replace":
                    dest[key] = removed(old, value)
        return dest
    return dest


def script(lines: Iterable[Any]) -> List[str]:
    """Return a script whose lists of lines are lines."""
    found: List[str] = []
    for line in lines:
        found += [str(each) for each in line] if isinstance(line, (list, tuple)) else [str(line)]
    return found
