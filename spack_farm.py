"""The command line's dispatcher: the one module that may know every verb. It is imported by nobody.

The folders beside it have generic names (PyPI has an unrelated `executor`), so before anything else it checks that they
are its own. Verbs import lazily: a verb pays only for what it uses.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

FOLDERS = ("buildjob",)
"""Packages of this distribution."""
VERBS = {
    "build": ("buildjob.__main__", "build packages with Spack, measured, reported, signed and published"),
}
"""Verb -> module whose `main(argv)` carries it out, and what it does."""


def main() -> int:
    """Run the verb that the command line names; return its exit code."""
    if stranger := _stranger():
        sys.stderr.write(f"spack-farm: {stranger}\n")
        return 2
    words = sys.argv[1:]
    if words and words[0] in VERBS:
        verb: int = importlib.import_module(VERBS[words[0]][0]).main(words[1:])
        return verb
    if words in (["-h"], ["--help"], ["help"]):
        sys.stdout.write(_usage())
        return 0
    known = ", ".join(VERBS)
    sys.stderr.write(
        f"spack-farm: {f'unknown verb {words[0]!r}' if words else 'no verb given'}; verbs: {known}; see --help\n"
    )
    return 2


def _usage() -> str:
    rows = "\n".join(f"  {verb:<10} {does}" for verb, (_, does) in VERBS.items())
    return f"usage: spack-farm VERB …\n\nverbs:\n{rows}\n\nspack-farm VERB --help tells the rest.\n"


def _stranger() -> str:
    """Say which of our folders is another distribution's, or nothing."""
    home = Path(__file__).resolve().parent
    for folder in FOLDERS:
        spec = importlib.util.find_spec(folder)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parent != home / folder:
            found = spec.origin if spec else "nothing"
            return (
                f"'{folder}' should be {home / folder}, found {found}: another distribution shadows it; "
                "install spack-farm in an environment of its own"
            )
    return ""


if __name__ == "__main__":
    sys.exit(main())
