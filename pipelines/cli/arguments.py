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
    answer: str


def parser(prog: str = "spack-farm pipelines") -> argparse.ArgumentParser:
    """Return the parser."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Turn a Spack environment into a job graph and GitLab's YAML.",
        epilog="example:\n  spack-farm pipelines generate environments/ci --sizes sizes.json\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    _generate(verbs)
    return new


def _generate(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    generate = verbs.add_parser(
        "generate",
        help="write the pipeline of an environment",
        description="Write the pipeline of a Spack environment: its folder, its name, or its spack.lock.",
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
        help="an environment's folder or name, or a spack.lock",
    )
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
        "--on-failure",
        choices=("fail", "pipeline"),
        default="fail",
        help="what to do if Spack rejects the environment: fail (default), or write a pipeline whose only job fails",
    )
    output.add_argument(
        "--print-request", action="store_true", help="print the request for a generator elsewhere, and generate nothing"
    )
    output.add_argument(
        "--answer", metavar="FILE", default="", help="write the files of a generator's answer ('-': standard input)"
    )
    bounds = generate.add_argument_group("limits of GitLab")
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
    bounds.add_argument(
        "--divide",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="divide what is too large into child pipelines (default)",
    )
