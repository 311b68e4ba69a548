"""`spack-farm pipelines check`: pipelines against GitLab's schema, its limits, the farm's rules, and GitLab itself."""

import json
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.cli.arguments import Arguments
from pipelines.cli.files import read_text
from pipelines.cli.graphs import graph_at, print_text
from pipelines.errors import BadRequest, FetchFailed, NotAccepted
from pipelines.inside.gitlab import limits
from pipelines.inside.gitlab.names import plain
from pipelines.reports.faults import Rules, faults, quantity

_LARGEST_BYTES = 64 << 20
_TIMEOUT_SECONDS = 60


class _Loader(yaml.SafeLoader):
    """Reads what GitLab reads: `!reference` is a list of names."""


def _names(loader: _Loader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node)


_Loader.add_constructor("!reference", _names)


def run(arguments: Arguments) -> int:
    """Check; return 1 if there are faults."""
    paths = list(_files(arguments.pipelines))
    texts = {str(path): read_text(path, most_bytes=_LARGEST_BYTES) for path in paths}
    documents = {path: _document(path, text) for path, text in texts.items()}
    found = [*_schema_faults(paths), *faults(documents, _rules(arguments))]
    if arguments.graph:
        found += _graph_faults(arguments, documents)
    if arguments.gitlab:
        found += [fault for path, text in texts.items() for fault in _lint(arguments, path, text)]
    print_text("".join(f"{fault}\n" for fault in found))
    jobs = sum(len(limits.job_names(document)) for document in documents.values())
    counts = {"pipeline": len(documents), "job": jobs, "fault": len(found)}
    sys.stderr.write(", ".join(f"{number} {name}{'s' * (number != 1)}" for name, number in counts.items()) + "\n")
    return 1 if found else 0


def _files(places: list[str]) -> Iterator[Path]:
    for place in map(Path, places):
        if not place.is_dir():
            yield place
            continue
        inside = sorted(path for path in place.rglob("*") if path.suffix in {".yml", ".yaml"})
        if not inside:
            raise BadRequest(f"{place}: there is no YAML in it")
        yield from inside


def _document(path: str, text: str) -> Mapping[str, Any]:
    try:
        found = yaml.load(text, _Loader)  # noqa: S506  a safe loader with one tag more
        _require_end(found, set(), set())
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise NotAccepted(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise NotAccepted(f"{path} is no pipeline: at its top is no mapping of names")
    return found


def _require_end(value: object, above: set[int], seen: set[int]) -> None:
    """Raise ValueError if an alias stands within what it names: no schema can be held against that."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    if id(value) in above:
        raise ValueError("an alias stands within what it names")
    above.add(id(value))
    for item in value.values() if isinstance(value, dict) else value:
        _require_end(item, above, seen)
    above.remove(id(value))
    # what many aliases name is looked at once
    seen.add(id(value))


def _schema_faults(paths: list[Path]) -> list[str]:
    """Return what GitLab's schema of a pipeline does not allow; the schema comes with check-jsonschema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci", "--output-format", "json"]
    # GitLab's own tags, as its schema's page says
    tags = ["--data-transform", "gitlab-ci", "--", *map(str, paths)]
    done = subprocess.run([*command, *tags], capture_output=True, text=True, check=False)
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise NotAccepted(f"check-jsonschema ended with {done.returncode}: {lines[-1]}") from error
    found = [f"{each['filename']}: {each['path']}: {each['message']}" for each in said.get("errors", [])]
    found += [f"{each['path']}: {each['message']}" for each in said.get("parse_errors", [])]
    return [plain(fault)[:500] for fault in found]


def _rules(arguments: Arguments) -> Rules:
    most = {}
    for kind, text in (("CPU", arguments.most_cpu), ("memory", arguments.most_memory)):
        if text:
            value = quantity(text)
            if value is None or value <= 0:
                raise BadRequest(f"{text!r} is no quantity; write 16, 500m, 64G or 64Gi")
            most[kind] = value
    return Rules(
        limits=limits.Limits(
            name=arguments.max_name,
            needs=arguments.max_needs,
            jobs=arguments.max_jobs,
            parsed_bytes=arguments.max_yaml_bytes,
        ),
        tags=frozenset(arguments.tag) if arguments.tag else None,
        most=most,
    )


def _graph_faults(arguments: Arguments, documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which jobs of the graph the pipelines lack."""
    graph = graph_at(arguments.graph)
    names = {name for document in documents.values() for name in limits.job_names(document)}
    return [
        f"{plain(job.spec)}: its job {plain(job.job)!r} is in no pipeline"
        for job in graph.jobs
        if job.state == "build" and job.job not in names
    ]


def _lint(arguments: Arguments, path: str, text: str) -> list[str]:
    """Return what GitLab itself says against a pipeline. Raises FetchFailed if it does not answer."""
    if not arguments.project or not arguments.token_file:
        raise BadRequest("--gitlab needs --project and --token-file: GitLab checks a pipeline for a project's member")
    if not arguments.gitlab.startswith(("https://", "http://")):
        raise BadRequest(f"--gitlab {arguments.gitlab}: an address starts with https:// or http://")
    project = urllib.parse.quote(arguments.project, safe="")
    url = f"{arguments.gitlab.rstrip('/')}/api/v4/projects/{project}/ci/lint"
    headers = {
        "PRIVATE-TOKEN": read_text(Path(arguments.token_file), most_bytes=_LARGEST_BYTES).strip(),
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(url, json.dumps({"content": text}).encode(), headers)  # noqa: S310  http(s) only
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            said = json.load(answer)
    except urllib.error.HTTPError as error:
        advice = "; the token needs the scope api" if error.code in {401, 403} else ""
        raise FetchFailed(f"{url}: the server answers {error.code} {error.reason}{advice}") from error
    except (OSError, ValueError) as error:
        raise FetchFailed(f"{url}: {getattr(error, 'reason', error)}") from error
    if not isinstance(said, dict):
        raise FetchFailed(f"{url}: the answer is not GitLab's")
    errors = [str(each) for each in said.get("errors", [])]
    if not said.get("valid") and not errors:
        errors = ["GitLab calls it invalid without a reason"]
    return [plain(f"{path}: GitLab: {error}") for error in errors]
