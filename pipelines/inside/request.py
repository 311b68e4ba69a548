"""What a generation is asked for: JSON, checked key by key, because the service takes it from anybody. Pure.

Everything that changes the answer is in the request, the environment's variables too, so that one request has one answer.
"""

import json
from typing import Any, Dict, List, Mapping, NamedTuple

from .gitlab import limits, names
from .specs import BadRequest

VERSION = 1
LARGEST_BYTES = 256 << 20
VARIABLES = (
    "CI_JOB_NAME", "CI_PIPELINE_CREATED_AT", "CI_PROJECT_DIR", "SOURCE_DATE_EPOCH",
    "SPACK_CDASH_BUILD_STAMP", "SPACK_CI_SKIP_DYNAMIC_MAPPING", "SPACK_CI_STACK_NAME", "SPACK_COPY_BUILDCACHE",
    "SPACK_PIPELINE_TYPE", "SPACK_PRUNE_UNTOUCHED", "SPACK_PRUNE_UNTOUCHED_DEPENDENT_DEPTH", "SPACK_PRUNE_UP_TO_DATE",
    "SPACK_REQUIRE_SIGNING",
)  # fmt: skip
"""Variables of the generate job that change what is generated; those that are forwarded come on top."""
ORDERS = ("first", "last")
FAILURES = ("fail", "pipeline")


class Request(NamedTuple):
    """A request; docs/pipelines.md describes its keys."""

    version: int = VERSION
    environment: str = ""
    files: Dict[str, str] = {}
    variables: Dict[str, str] = {}
    forward: List[str] = []
    fresh: bool = False
    prune_up_to_date: bool = True
    prune_unaffected: bool = False
    prune_externals: bool = True
    artifacts_root: str = "jobs_scratch_dir"
    output_folder: str = "pipeline"
    generate_job: str = ""
    pipeline_id: str = "$PARENT_PIPELINE_ID"
    match_order: str = "first"
    matches: List[Dict[str, Any]] = []
    sizes: str = ""
    sizes_file: str = ""
    stack: str = ""
    may_divide: bool = True
    max_jobs: int = limits.JOBS
    max_name: int = limits.NAME
    max_needs: int = limits.NEEDS
    max_parsed_bytes: int = limits.PARSED_BYTES
    on_failure: str = "fail"
    check_mirror: bool = True
    mirror: str = ""
    folders: List[str] = []


_RANGES = {
    "max_jobs": (4, 100_000),
    "max_name": (48, names.LARGEST),
    "max_needs": (4, 1000),
    "max_parsed_bytes": (65536, 1 << 30),
}
_CHOICES = {"match_order": ORDERS, "on_failure": FAILURES}
_MATCH_KEYS = {
    "match",
    "cpu",
    "memory",
    "memory_limit",
    "disk",
    "build_jobs",
    "expected_seconds",
    "p90_seconds",
    "tags",
    "image",
}


def read(content: bytes) -> Request:
    """Return the request. Raises BadRequest, naming the key."""
    if len(content) > LARGEST_BYTES:
        raise BadRequest(f"the request has {len(content)} bytes; at most {LARGEST_BYTES} are read")
    try:
        given = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the request is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise BadRequest("the request must be a JSON object")
    defaults = Request()
    unknown = sorted(set(given) - set(defaults._fields))
    if unknown:
        raise BadRequest(f"the request has the unknown key '{unknown[0]}'")
    for key, value in given.items():
        default = getattr(defaults, key)
        # to Python, True is a number
        if type(value) is not type(default):
            raise BadRequest(f"the request's '{key}' must be of type {type(default).__name__}")
    found = defaults._replace(**given)
    _check(found)
    return found


def _check(request: Request) -> None:
    if request.version != VERSION:
        raise BadRequest(f"the request has version {request.version}; this generator reads version {VERSION}")
    if bool(request.environment) == bool(request.files):
        raise BadRequest("the request must have either 'environment' or 'files'")
    for key in ("files", "variables"):
        _require(key, all(isinstance(value, str) for value in getattr(request, key).values()), "have texts")
    _require("forward", all(isinstance(name, str) for name in request.forward), "have texts")
    for key, (least, most) in _RANGES.items():
        _require(key, least <= getattr(request, key) <= most, f"be from {least} to {most}")
    for key, choices in _CHOICES.items():
        _require(key, getattr(request, key) in choices, "be one of: " + ", ".join(choices))
    for key in ("artifacts_root", "output_folder"):
        _require(key, is_inside(getattr(request, key)), "be a relative path that stays in the project")
    root, output = (_parts(getattr(request, key)) for key in ("artifacts_root", "output_folder"))
    # the archive from which GitLab reads the YAML has nothing else
    _require("output_folder", root[: len(output)] != output, "be another folder than 'artifacts_root', and not hold it")
    _require("files", all(is_inside(path) for path in request.files), "have relative paths that stay in the environment")
    for number, row in enumerate(request.matches):
        _check_row(f"matches[{number}]", row)


def _parts(path: str) -> List[str]:
    return [word for word in path.split("/") if word not in ("", ".")]


def _require(key: str, is_right: bool, what: str) -> None:  # noqa: FBT001 (what was found of the key before it)
    if not is_right:
        raise BadRequest(f"the request's '{key}' must {what}")


def _check_row(where: str, row: Mapping[str, Any]) -> None:
    if not isinstance(row, dict) or not _are_texts(row.get("match")) or set(row) - _MATCH_KEYS:
        raise BadRequest(
            "{} must have 'match', a list of specs, and may have: {}".format(where, ", ".join(sorted(_MATCH_KEYS)))
        )


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) and item for item in value)


def is_inside(path: str) -> bool:
    """Return whether a path is relative, names something, and does not leave its folder."""
    words = path.replace("\\", "/").split("/")
    return (
        bool(path.strip()) and "\0" not in path and ".." not in words and not path.startswith(("/", "~")) and words != ["."]
    )
