"""`spack-farm pipelines generate`: gathers the request, has it answered, writes the files and says what there is.

The request has all that changes the answer, so that a service can answer it, and a cache keep the answer.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import spack_python
from pipelines.cli.arguments import Arguments
from pipelines.cli.files import read_text
from pipelines.cli.printed_request import printed_request
from pipelines.errors import BadRequest, FetchFailed, PipelineError
from pipelines.inside import fingerprint
from pipelines.inside import request as requests
from pipelines.inside.document import FILE as GRAPH_FILE
from pipelines.inside.gitlab import limits

_LARGEST_ANSWER = 512 << 20


def run(arguments: Arguments) -> int:
    """Generate; return the exit code."""
    environ = dict(os.environ)  # noqa: TID251  here it is read
    if arguments.answer:
        answer = spack_python.read_answer(_content(arguments.answer))
        return _write(answer, Path.cwd(), uploads=_uploads_graph(arguments, environ))
    if not arguments.environment:
        raise BadRequest("name an environment: its folder, its name or its spack.lock")
    if arguments.environment.endswith(".toml"):
        return _generate_matrix(arguments, environ)
    return _generate(arguments, environ)


def _generate_matrix(arguments: Arguments, environ: Mapping[str, str]) -> int:
    """Write the parent of a matrix, or generate one of its cells."""
    # a matrix's own modules: an environment is generated without them, in less time
    from pipelines import matrix as parents  # noqa: PLC0415
    from pipelines import stacks  # noqa: PLC0415

    path = Path(arguments.environment)
    matrix = stacks.read(read_text(path), str(path))
    cells = stacks.cells(matrix)
    project = Path(environ.get("CI_PROJECT_DIR") or Path.cwd())
    if not arguments.cell:
        document = parents.parent(matrix, cells, _inside(str(path), project, "the matrix"))
        bounds = limits.Limits(name=arguments.max_name, jobs=3 * len(cells), parsed_bytes=arguments.max_yaml_bytes)
        text, faults = parents.text(document, bounds)
        if faults:
            raise BadRequest(f"GitLab would reject the pipeline: {'; '.join(faults[:10])}")
        target = _inside(arguments.output_folder, project, "--output-folder")
        _write_whole(project / target / "pipeline.yml", text)
        sys.stderr.write(f"{path}: {len(cells)} cells; {target}/pipeline.yml\n")
        return 0
    cell = next((cell for cell in cells if cell.name == arguments.cell), None)
    if cell is None:
        raise BadRequest(f"{path} has no cell {arguments.cell}; it has {', '.join(each.name for each in cells)}")
    arguments.artifacts_root = f"{arguments.artifacts_root}/{cell.name}"
    arguments.output_folder = f"{arguments.output_folder}/{cell.name}"
    arguments.stack = arguments.stack or cell.name
    with tempfile.TemporaryDirectory(prefix="spack-farm-cell-") as folder:
        place = os.path.relpath(path.resolve().parent, Path(folder).resolve())
        if arguments.print_request:
            place = _copied(cell.include, path.resolve().parent, Path(folder))
        (Path(folder) / "spack.yaml").write_text(cell.manifest(place), "utf-8")
        arguments.environment = folder
        return _generate(arguments, environ)


def _copied(included: Sequence[str], source: Path, folder: Path) -> str:
    """Copy what a cell includes into its environment's folder, from where it can be sent; return the copies' folder."""
    place = "included"
    for each in included:
        if Path(each).is_absolute() or not (source / each).exists():
            continue  # the generator's own, or Spack says that it is missing
        if not requests.is_inside(each):
            raise BadRequest(f"a cell includes {each}, which is outside of the matrix's folder; move it there")
        target = folder / place / each
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / each).is_dir():
            shutil.copytree(source / each, target, dirs_exist_ok=True)
        else:
            shutil.copyfile(source / each, target)
    return place


def _generate(arguments: Arguments, environ: Mapping[str, str]) -> int:
    request = _request(arguments, environ)
    if arguments.fingerprint:
        print(_fingerprint(request, environ, arguments.spack))  # noqa: T201
        return 0
    if arguments.print_request:
        if not arguments.mirror:
            sys.stderr.write(
                "warning: without --mirror URL the fingerprint of this request does not see new binaries, and a cache "
                "would keep an old pipeline\n"
            )
        print(json.dumps(printed_request(request, Path(arguments.environment)), sort_keys=True))  # noqa: T201
        return 0
    spack = spack_python.find(arguments.spack, environ)
    answer = spack_python.generate(request, spack, arguments.config_scope, environ)
    project = Path(environ.get("CI_PROJECT_DIR") or Path.cwd())
    return _write(answer, project, uploads=_uploads_graph(arguments, environ))


def _request(arguments: Arguments, environ: Mapping[str, str]) -> dict[str, Any]:
    project = Path(environ.get("CI_PROJECT_DIR") or Path.cwd())
    place = Path(arguments.environment)
    known = [*requests.VARIABLES, *arguments.forward_variable]
    made: dict[str, Any] = {
        "version": requests.VERSION,
        "environment": str(place.absolute()) if place.exists() else arguments.environment,
        "variables": {name: environ[name] for name in known if name in environ},
        "forward": arguments.forward_variable,
        "fresh": arguments.fresh,
        "prune_up_to_date": arguments.prune_dag,
        "prune_unaffected": arguments.prune_unaffected,
        "prune_externals": arguments.prune_externals,
        "artifacts_root": _inside(arguments.artifacts_root, project, "--artifacts-root"),
        "output_folder": _inside(arguments.output_folder, project, "--output-folder"),
        "generate_job": arguments.generate_job,
        "pipeline_id": arguments.pipeline_id,
        "match_order": arguments.match_order,
        "stack": arguments.stack,
        "may_divide": arguments.divide,
        "max_jobs": arguments.max_jobs,
        "max_name": arguments.max_name,
        "max_needs": arguments.max_needs,
        "max_parsed_bytes": arguments.max_yaml_bytes,
        "on_failure": arguments.on_failure,
    }
    if arguments.mirror or arguments.packages or arguments.fingerprint:
        made |= {"mirror": arguments.mirror, "folders": [*arguments.packages, *arguments.config_scope]}
    if arguments.sizes:
        made["sizes"] = read_text(Path(arguments.sizes))
    return made


def _fingerprint(request: Mapping[str, Any], environ: Mapping[str, str], named: str) -> str:
    try:
        root = spack_python.find(named, environ).program.parents[1]
        return fingerprint.fingerprint(request, {**environ, "SPACK_ROOT": str(root)})
    except ValueError as error:
        raise BadRequest(str(error)) from error
    except OSError as error:
        raise FetchFailed(f"{request['mirror']}: {error}") from error


def _inside(folder: str, project: Path, option: str) -> str:
    """Return a folder relative to the project, as jobs elsewhere need it."""
    path = Path(folder)
    if path.is_absolute():
        try:
            path = path.relative_to(project.absolute())
        except ValueError as error:
            raise BadRequest(f"{option} {folder} is outside the project, {project}; artifacts lie within it") from error
    if not requests.is_inside(str(path)):
        raise BadRequest(f"{option} {folder} must be a folder below the project")
    return str(path)


def _content(answer: str) -> bytes:
    try:
        content = sys.stdin.buffer.read(_LARGEST_ANSWER + 1) if answer == "-" else Path(answer).read_bytes()
    except OSError as error:
        raise BadRequest(f"{answer} can't be read: {error.strerror}") from error
    if len(content) > _LARGEST_ANSWER:
        raise BadRequest(f"{answer} has more than {_LARGEST_ANSWER} bytes")
    return content


def _write(answer: spack_python.Answer, folder: Path, *, uploads: bool) -> int:
    for warning in answer.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    if outside := next((path for path in answer.files if not requests.is_inside(path)), ""):
        raise BadRequest(f"the answer has the file {outside}, which is outside the project; nothing was written")
    for path, text in answer.files.items():
        _write_whole(folder / path, text)
    if uploads:
        _upload_graph(answer)
    shown = ", ".join(f"{count} {state}" for state, count in answer.counts.items() if count)
    pipelines = next((path for path in answer.files if path.endswith("pipeline.yml")), "")
    sys.stderr.write(f"{answer.stack or 'the stack'}: {shown or 'no job'}; {answer.pipelines} pipelines, {pipelines}\n")
    return 0


def _uploads_graph(arguments: Arguments, environ: Mapping[str, str]) -> bool:
    """Return whether the job graph goes to the mirror; a try by hand must not change what a farm reads."""
    return bool(environ.get("CI")) if arguments.upload_graph is None else arguments.upload_graph


def _upload_graph(answer: spack_python.Answer) -> None:
    """Leave the job graph on the mirror that jobs publish to. A pipeline runs without it, only nodes come later."""
    from pipelines import job_graph, mirrors  # noqa: PLC0415  as above: most of the time that this program takes to start

    content = next((text.encode() for path, text in answer.files.items() if path.endswith(f"/{GRAPH_FILE}")), b"")
    if not content:
        return
    graph = job_graph.read(content)
    if not graph.mirror:
        return
    try:
        mirrors.Mirror(graph.mirror).leave_graph(graph.digest, content)
    except PipelineError as error:
        sys.stderr.write(f"warning: the job graph is not on the mirror, so nodes are not started ahead: {error}\n")


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that it appears whole."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(text, "utf-8")
        new.replace(path)
    except OSError as error:
        raise PipelineError(f"{path} can't be written: {error.strerror}") from error
