"""`python -m executor VERB`: have the warm process run the verb, or run it here. `driver` is what is run."""

import sys

from executor import warm


def main(words: list[str] | None = None) -> int:
    """Run a verb and return the exit code that the Runner is to see."""
    words = sys.argv[1:] if words is None else words
    warm.call(words)
    from executor import driver  # noqa: PLC0415 (the warm process has imported it already)

    return driver.main(words)


if __name__ == "__main__":
    sys.exit(main())
