"""The command line's dispatcher: the one module that may know every verb. It is imported by nobody.

The folders beside it have generic names (PyPI has an unrelated `executor`), so before anything else it checks that they are
its own. Verbs import lazily: a verb pays only for what it uses.
"""

import importlib.util
import sys
from pathlib import Path

_FOLDERS = ("buildjob", "executor")


def main() -> int:
    """Run the verb that the command line names; return its exit code."""
    stranger = _stranger()
    if stranger:
        sys.stderr.write(f"spack-farm: {stranger}\n")
        return 2
    return 0


def _stranger() -> str:
    """Say which of our folders is shadowed by another distribution's, or nothing."""
    home = Path(__file__).resolve().parent
    for folder in _FOLDERS:
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
