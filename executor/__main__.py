"""`python -m executor VERB`: the warm process runs the verb; without one, `driver` runs it here."""

import sys

from executor import warm


def main(argv: list[str] | None = None) -> int:
    """Run a verb and return the exit code for the Runner."""
    argv = sys.argv[1:] if argv is None else argv
    warm.call(argv)
    from executor import driver  # noqa: PLC0415 (the warm process has imported it already)

    return driver.main(argv)


if __name__ == "__main__":
    sys.exit(main())
