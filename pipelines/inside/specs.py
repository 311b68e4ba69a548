"""What a generation knows of a concrete spec, and what it may answer with. Values only."""

from typing import NamedTuple, Sequence, Tuple


class Spec(NamedTuple):
    """A concrete spec of the stack. `dependencies` are the keys of its direct ones, of all types, each once."""

    key: str
    name: str
    version: str
    text: str
    compiler_name: str
    compiler_version: str
    architecture: str
    variants: str
    build_system: str
    expensive: str
    recipe: str
    external: str
    dependencies: Tuple[str, ...]
    is_root: bool


class BadRequest(Exception):  # noqa: N818  named for what it is, as in the other packages
    """What was asked for cannot work; the message says what to change."""


class FetchFailed(Exception):  # noqa: N818  named for what it is, as in the other packages
    """A server did not answer as it should; another try may help."""


class Broken(Exception):  # noqa: N818  named for what it is, as in the other packages
    """The pipeline would build what is known to be broken."""


def title(spec: Spec) -> str:
    """Return a spec's short name for people."""
    return f"{spec.name}@{spec.version}/{spec.key[:7]}"


def joined(texts: Sequence[str], most: int = 5) -> str:
    """Return the first texts of a list and how many more there are."""
    more = len(texts) - most
    return ", ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")
