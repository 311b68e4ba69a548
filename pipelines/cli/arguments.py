"""The command line of `spack-farm pipelines`: its parser. Loads nothing but the standard library."""

import argparse

EXIT_CODES = """
exit codes:
  0 done
  1 the pipeline would build what is known to be broken, or a check found faults
  2 bad request, also: Spack can't concretize the environment
  3 no usable Spack
  4 a server did not answer; another try may help
 70 a bug in spack-farm
"""


class Arguments(argparse.Namespace):
    """What was given; each verb has some of them."""

    verb: str
    environment: str
    cell: str
    spack: str
    config_scope: list[str]
    sizes: str
    stack: str
    fresh: bool
    prune_dag: bool
    prune_unaffected: bool
    prune_externals: bool
    forward_variable: list[str]
    artifacts_root: str
    output_folder: str
    generate_job: str
    pipeline_id: str
    match_order: str
    max_jobs: int
    max_name: int
    max_needs: int
    max_yaml_bytes: int
    divide: bool
    on_failure: str
    print_request: bool
    upload_graph: bool | None
    fingerprint: bool
    mirror: str
    packages: list[str]
    answer: str
    graph: str
    diff: str
    page: str
    json: bool
    core_hour: float | None
    gib_hour: float | None
    endpoint_url: str
    own_mirror: str
    history: str
    pipelines: list[str]
    tag: list[str]
    most_cpu: str
    most_memory: str
    gitlab: str
    project: str
    token_file: str


def parser(prog: str = "spack-farm pipelines") -> argparse.ArgumentParser:
    """Return the parser."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Turn a Spack environment, or a matrix of them, into a job graph and GitLab's YAML.",
        epilog="example:\n  spack-farm pipelines generate environments/ci --sizes sizes.json\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    _generate(verbs)
    _show(verbs)
    _check(verbs)
    _coverage(verbs)
    return new


def _generate(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    generate = verbs.add_parser(
        "generate",
        help="write the pipeline of an environment, or of the stacks of a matrix",
        description="Write the pipeline of a Spack environment (its folder, its name, its spack.lock), or of a stacks.toml.",
        epilog="examples:\n  spack-farm pipelines generate environments/ci\n"
        "  spack-farm pipelines generate spack.lock --sizes sizes.json --forward-variable DEPLOY\n"
        "  spack-farm pipelines generate environments/ci --print-request > request.json\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    generate.add_argument(
        "environment",
        metavar="ENV",
        nargs="?",
        default="",
        help="an environment's folder or name, a spack.lock, or a stacks.toml",
    )
    generate.add_argument("--cell", metavar="NAME", default="", help="of a stacks.toml: generate this cell, not the parent")
    spack = generate.add_argument_group("Spack")
    spack.add_argument(
        "--spack", metavar="FOLDER", default="", help="the Spack to use (default: $SPACK_ROOT, PATH, the cache)"
    )
    spack.add_argument(
        "-C",
        "--config-scope",
        metavar="FOLDER",
        action="append",
        default=[],
        help="a configuration scope of Spack; repeatable",
    )
    spack.add_argument(
        "--fresh", action="store_true", help="concretize without reusing what is installed or in build caches"
    )
    pruning = generate.add_argument_group("what gets no job")
    pruning.add_argument(
        "--prune-dag",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="binaries that a mirror has (default), by one read of its index",
    )
    pruning.add_argument(
        "--prune-unaffected",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="packages that the last commit of the repositories does not affect",
    )
    pruning.add_argument(
        "--prune-externals", action=argparse.BooleanOptionalAction, default=True, help="external packages (default)"
    )
    jobs = generate.add_argument_group("jobs")
    jobs.add_argument("--stack", metavar="NAME", default="", help="name of the stack (default: $SPACK_CI_STACK_NAME)")
    jobs.add_argument(
        "--sizes", metavar="FILE", default="", help="the size table, sizes.json: what jobs ask for, and how long they take"
    )
    jobs.add_argument(
        "--match-order",
        choices=("first", "last"),
        default="first",
        help="which row of a submapping counts if several match: the first (default), or the last as in Spack",
    )
    jobs.add_argument(
        "--forward-variable", metavar="NAME", action="append", default=[], help="give this variable to all jobs; repeatable"
    )
    jobs.add_argument(
        "--generate-job", metavar="NAME", default="", help="the job that has the artifacts (default: $CI_JOB_NAME)"
    )
    jobs.add_argument(
        "--pipeline-id",
        metavar="TEXT",
        default="$PARENT_PIPELINE_ID",
        help="the pipeline of that job (default: $PARENT_PIPELINE_ID, which the trigger job has to set)",
    )
    output = generate.add_argument_group("output")
    output.add_argument(
        "--artifacts-root",
        metavar="FOLDER",
        default="jobs_scratch_dir",
        help="for what the jobs need (default: %(default)s)",
    )
    output.add_argument(
        "--output-folder", metavar="FOLDER", default="pipeline", help="for the YAML, and nothing else (default: %(default)s)"
    )
    output.add_argument(
        "--upload-graph",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="leave the job graph on the mirror too, where the autoscaler reads it (default: in CI)",
    )
    output.add_argument(
        "--on-failure",
        choices=("fail", "pipeline"),
        default="fail",
        help="what to do if Spack rejects the environment: fail (default), or write a pipeline whose only job fails",
    )
    output.add_argument(
        "--fingerprint",
        action="store_true",
        help="print one digest of all that the pipeline depends on, and generate nothing; starts no Spack",
    )
    output.add_argument(
        "--mirror", metavar="URL", default="", help="with --fingerprint or --print-request: the mirror whose index counts"
    )
    output.add_argument(
        "--packages",
        metavar="FOLDER",
        action="append",
        default=[],
        help="with --fingerprint or --print-request: a package repository whose commit counts; repeatable",
    )
    output.add_argument(
        "--print-request", action="store_true", help="print the request for a generator elsewhere, and generate nothing"
    )
    output.add_argument(
        "--answer", metavar="FILE", default="", help="write the files of a generator's answer ('-': standard input)"
    )
    bounds = _bounds(generate)
    bounds.add_argument(
        "--divide",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="divide what is too large into child pipelines (default)",
    )


def _bounds(verb: argparse.ArgumentParser) -> "argparse._ArgumentGroup":
    """Add the limits of GitLab."""
    bounds = verb.add_argument_group("limits of GitLab")
    bounds.add_argument("--max-jobs", metavar="N", type=int, default=500, help="jobs of one pipeline (default: %(default)s)")
    bounds.add_argument("--max-needs", metavar="N", type=int, default=50, help="needs of one job (default: %(default)s)")
    bounds.add_argument(
        "--max-name", metavar="N", type=int, default=128, help="letters of a job's name, at most 255 (default: %(default)s)"
    )
    bounds.add_argument(
        "--max-yaml-bytes",
        metavar="N",
        type=int,
        default=2 << 20,
        help="max_yaml_size_bytes of the instance (default: %(default)s)",
    )
    return bounds


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, example: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n  spack-farm pipelines {example}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _show(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    show = _verb(
        verbs,
        "show",
        "show a job graph: levels, sizes, what is left out and why, the critical path, the cost",
        "show jobs_scratch_dir --diff yesterday/job-graph.json --page changes.html",
    )
    _graph(show)
    show.add_argument("--diff", metavar="OLD", default="", help="show what was added, rebuilt and removed since this graph")
    _output(show)
    show.add_argument("--core-hour", metavar="PRICE", type=float, help="what an hour of one core costs")
    show.add_argument("--gib-hour", metavar="PRICE", type=float, help="what an hour of one GiB of memory costs")


def _check(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    check = _verb(
        verbs,
        "check",
        "check pipelines by GitLab's schema, its limits, and the rules of this farm",
        "check pipeline/ --graph jobs_scratch_dir --tag spack --most-memory 64Gi",
    )
    check.add_argument("pipelines", metavar="PIPELINE", nargs="+", help="a pipeline's YAML, or a folder of them")
    check.add_argument("--graph", metavar="GRAPH", default="", help="each job of this graph must be in one of the pipelines")
    rules = check.add_argument_group("rules of this farm")
    rules.add_argument(
        "--tag", metavar="TAG", action="append", default=[], help="a tag that a runner has; repeatable; others are faults"
    )
    rules.add_argument("--most-cpu", metavar="QUANTITY", default="", help="the most cores that a job may ask for")
    rules.add_argument("--most-memory", metavar="QUANTITY", default="", help="the most memory that a job may ask for")
    gitlab = check.add_argument_group("GitLab's own check")
    gitlab.add_argument("--gitlab", metavar="URL", default="", help="ask this GitLab too (its ci/lint)")
    gitlab.add_argument("--project", metavar="PROJECT", default="", help="path or number of the project to check for")
    gitlab.add_argument("--token-file", metavar="FILE", default="", help="a file with a token of scope api")
    _bounds(check)


def _coverage(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    coverage = _verb(
        verbs,
        "coverage",
        "show what of a stack is on a mirror, what is not and why, and which fixes unlock most",
        "coverage jobs_scratch_dir s3://binaries/main --history telemetry/ --page coverage.html",
    )
    _graph(coverage)
    coverage.add_argument("mirror", metavar="MIRROR", help="a folder, or s3://, https://, http://, file://")
    coverage.add_argument(
        "--own-mirror", metavar="MIRROR", default="", help="the stack's own mirror, beside the one it shares"
    )
    coverage.add_argument(
        "--history",
        metavar="PLACE",
        default="",
        help="which builds failed: a folder of measurements (telemetry.json), or the history of 'spack-farm sizing'",
    )
    _output(coverage)


def _graph(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "graph", metavar="GRAPH", help="job-graph.json, the folder that has it, or its address (s3://, https://)"
    )
    verb.add_argument("--endpoint-url", metavar="URL", default="", help="the S3 server (default: AWS, or $S3_ENDPOINT_URL)")


def _output(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--page", metavar="FILE", default="", help="write a self-contained HTML page too")
    verb.add_argument("--json", action="store_true", help="print one JSON object in place of the text")
