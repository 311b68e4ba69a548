"""The command line's dispatcher: the one module that may know every verb; no part imports it.

The parts have generic names (PyPI has an unrelated `executor`), so before anything else it checks that they are its own.
Verbs are imported when they are called: a verb pays only for what it uses. Runs as `spack-farm`, as `python -m spack_farm`,
and as a file from any folder: `python CHECKOUT/spack_farm/__main__.py`.
"""

import sys

TYPE_CHECKING = False  # typing costs as much as all the rest of a driver's call
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from types import ModuleType

FOLDERS = (
    "spack_farm",
    "buildjob",
    "autoscaler",
    "ctest_xml",
    "delegate",
    "executor",
    "pipelines",
    "sizing",
    "spelling",
    "status_line",
)
"""Packages of this distribution."""
VERBS = {
    "autoscaler": ("autoscaler.__main__", "keep as many nodes as builds need, and never end a build"),
    "build": ("buildjob.cli.build", "build packages with Spack, measured, reported, signed and published"),
    "ctest": ("ctest_xml.__main__", "turn build logs into CTest XML, check it and send it to CDash"),
    "delegate": ("delegate.__main__", "put any computation behind HTTP, done by a worker in another container"),
    "executor": ("executor.driver", "run GitLab jobs in pods: the custom-executor driver"),
    "pipelines": ("pipelines.__main__", "turn a Spack environment into a job graph and GitLab's YAML"),
    "publish": ("buildjob.cli.publish", "put signed binaries on a mirror, and keep its index, keys and binaries in order"),
    "report": ("buildjob.cli.report", "write one page of many builds: what failed, what changed, where the time went"),
    "sizing": ("sizing.__main__", "compute what builds ask for from what earlier builds used"),
    "doctor": ("buildjob.cli.doctor", "check what a build here needs, and say how to fix what is missing"),
}
"""Verb -> module whose `main(argv)` carries it out and whose `parser()` describes it, and what it does."""
_HELP = {"executor": "executor.arguments"}
"""Verb -> module of its parser alone, where the verb's own module loads much more than that."""
_OTHER_VERBS = {
    "paths": "show the folders that spack-farm uses",
    "completion": 'print a completion script: eval "$(spack-farm completion bash)"',
    "man": "print the manual page: spack-farm man | man -l -",
}
"""Verbs that the dispatcher carries out itself, and what each does."""
_EXTRAS = {"argparse_manpage": "completion", "shtab": "completion"}
"""Package that the dispatcher itself imports -> the extra that installs it. Each part knows its own in its `extra.py`."""


def main() -> int:
    """Run what the command line names; return its exit code."""
    arguments = sys.argv[1:]
    if None in {sys.stdin, sys.stdout, sys.stderr}:
        _open_standard_streams()
    if arguments[:1] == ["executor"]:
        _try_warm_process(arguments[1:])
    if stranger := _stranger():
        sys.stderr.write(f"spack-farm: {stranger}\n")
        return 2
    try:
        if arguments and arguments[0] in VERBS:
            return _run(arguments[0], arguments[1:])
        if arguments and arguments[0] in _OTHER_VERBS and (code := _help_or_reject(arguments)) is not None:
            return code
        if arguments and arguments[0] in _OWN_VERBS:
            return _OWN_VERBS[arguments[0]](arguments[1:])
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        extra = _EXTRAS[error.name]
        sys.stderr.write(
            f"spack-farm {arguments[0]}: the Python package '{error.name}' is not installed; "
            f"it comes with an extra: pip install 'spack-farm[{extra}]'\n"
        )
        return 2
    fault = f"unknown verb {arguments[0]!r}" if arguments else "no verb given"
    known = [name for name in (*VERBS, *_OWN_VERBS) if name[0] != "-"]
    sys.stderr.write(f"spack-farm: {fault}; verbs: {', '.join(known)}; see --help\n")
    if arguments:
        from spack_farm import suggestions  # noqa: PLC0415  lazily: only for a fault

        sys.stderr.write(suggestions.of_verb(arguments[0], known, arguments[1:]))
    return 2


def _run(verb: str, arguments: list[str]) -> int:
    """Carry a verb out; one that rejects its command line is followed by what may have been meant."""
    if verb in _HELP and {"-h", "--help"}.intersection(arguments):
        import importlib  # noqa: PLC0415  lazily, as below

        importlib.import_module(_HELP[verb]).parser().parse_args(arguments)  # ends the process, unless it is a value
    module = _module_of(verb)
    try:
        code: int = module.main(arguments)
    except SystemExit as end:
        if end.code == 2:  # as argparse ends for a wrong command line
            from spack_farm import suggestions  # noqa: PLC0415  lazily: only for a fault

            sys.stderr.write(suggestions.of_arguments(module.parser(), verb, arguments))
        raise
    return code


def _open_standard_streams() -> None:
    """Let streams that the caller has closed (`>&-`) read and write nothing.

    Python has None for them, and the next file that is opened, such as a build's log, would be a program's standard output.
    """
    import os  # noqa: PLC0415  seldom needed

    nowhere = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: that of a closed stream
    while nowhere < 2:  # standard error
        nowhere = os.dup(nowhere)
    if nowhere > 2:
        os.close(nowhere)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for number in range(3):
        os.set_inheritable(number, True)


def _try_warm_process(arguments: list[str]) -> None:
    """Have the warm process run a driver's verb before anything is imported; return only if it is to be run here."""
    import executor  # noqa: PLC0415  lazily, as all verbs

    home = _home()
    if (executor.__file__ or "").rpartition("/")[0] == f"{home}/executor":
        from executor import warm  # noqa: PLC0415

        warm.call(arguments)


def _home() -> str:
    """Return the folder that holds the packages; no `pathlib`: it would double the cost of a driver's call."""
    return __file__.rpartition("/")[0].rpartition("/")[0]


def _module_of(verb: str) -> "ModuleType":
    import importlib  # noqa: PLC0415  lazily: a verb of the driver is done before

    return importlib.import_module(VERBS[verb][0])


def _help(_arguments: list[str]) -> int:
    rows = "".join(f"  {verb:<12} {does}\n" for verb, does in _summaries().items())
    sys.stdout.write(f"usage: spack-farm VERB …\n\nverbs:\n{rows}\nspack-farm VERB --help describes a verb.\n")
    return 0


def _help_or_reject(arguments: list[str]) -> int | None:
    """Print the help of a verb of the dispatcher, or reject what it does not take; None if the verb is to be carried out."""
    verb, rest = arguments[0], arguments[1:]
    shell = " SHELL" if verb == "completion" else ""
    if rest[:1] in (["-h"], ["--help"]):
        sys.stdout.write(
            f"usage: spack-farm {verb} [-h]{shell}\n\n{_OTHER_VERBS[verb]}\n\nexit codes:\n  0 done\n  2 bad request\n"
        )
        return 0
    if rest and not shell:
        sys.stderr.write(
            f"spack-farm {verb}: it takes no argument, but {rest[0]!r} is given; see spack-farm {verb} --help\n"
        )
        return 2
    return None


def _version(_arguments: list[str]) -> int:
    """Print our version, the Spack found and the kind of control group."""
    from buildjob.cli.about import describe  # noqa: PLC0415  lazily, as all verbs

    sys.stdout.write(describe() + "\n")
    return 0


def _paths(_arguments: list[str]) -> int:
    """Print the folders in use, a name and a path a line; the Spack only if one is found."""
    from buildjob.cli.about import places  # noqa: PLC0415  lazily, as all verbs

    sys.stdout.write("".join(f"{name:<13} {path}\n" for name, path in places().items()))
    return 0


def _completion(arguments: list[str]) -> int:
    """Print the completion script for a shell."""
    from spack_farm.grammar import SHELLS  # noqa: PLC0415  lazily, as all verbs

    if len(arguments) != 1 or arguments[0] not in SHELLS:
        sys.stderr.write(f"spack-farm completion: name one shell: {', '.join(SHELLS)}\n")
        return 2
    from spack_farm import completion  # noqa: PLC0415

    sys.stdout.write(completion.script(arguments[0], _grammar(_parsers())) + "\n")
    return 0


def _man(_arguments: list[str]) -> int:
    """Print the manual page."""
    from buildjob.version import own_version  # noqa: PLC0415  lazily, as all verbs
    from spack_farm import manual  # noqa: PLC0415

    verbs = _parsers()
    sys.stdout.write(manual.page(_grammar(verbs), verbs.values(), version=own_version()))
    return 0


def _parsers() -> "dict[str, argparse.ArgumentParser]":
    return {verb: _module_of(verb).parser() for verb in VERBS}


def _grammar(verbs: "dict[str, argparse.ArgumentParser]") -> "argparse.ArgumentParser":
    from spack_farm import grammar  # noqa: PLC0415  lazily, as all verbs

    return grammar.whole(
        verbs, summaries=_summaries(), description="turns GitLab jobs into signed Spack binaries on Kubernetes"
    )


def _summaries() -> dict[str, str]:
    """Return one line for each verb, in the order of the help."""
    return {verb: does for verb, (_, does) in VERBS.items()} | _OTHER_VERBS


_OWN_VERBS: "dict[str, Callable[[list[str]], int]]" = {
    "-h": _help,
    "--help": _help,
    "help": _help,
    "--version": _version,
    "paths": _paths,
    "completion": _completion,
    "man": _man,
}


def _stranger() -> str:
    """Say which of our folders is another distribution's, or nothing.

    Two distributions may write into one folder: the last one's `__init__.py` stands there, and ours says its name.
    """
    import importlib.util  # noqa: PLC0415  lazily, as above
    from pathlib import Path  # noqa: PLC0415

    home = Path(__file__).resolve().parents[1]
    for folder in FOLDERS:
        spec = importlib.util.find_spec(folder)
        found = Path(spec.origin).resolve() if spec and spec.origin else None
        if found is None or found.parent != home / folder or b"spack-farm" not in found.read_bytes()[:500]:
            return (
                f"'{folder}' should be spack-farm's own at {home / folder}, found {found or 'nothing'}: "
                "another distribution shadows it; install spack-farm in an environment of its own"
            )
    return ""


if __name__ == "__main__":
    if not __package__:  # run as a file: Python would look for modules in this folder; they lie in the one above
        if not sys.flags.safe_path:
            del sys.path[0]
        sys.path.insert(0, _home())
    sys.exit(main())
