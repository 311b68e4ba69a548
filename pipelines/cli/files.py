"""Reads text files that an operator names: a fault is one line, with the file's name."""

from pathlib import Path

from pipelines.errors import BadRequest


def read_text(path: Path, *, most_bytes: int | None = None) -> str:
    """Return a file's text. Raises BadRequest if it can't be read, is larger than `most_bytes`, or is not UTF-8."""
    try:
        if most_bytes is not None and path.stat().st_size > most_bytes:
            raise BadRequest(f"{path} has more than {most_bytes} bytes")
        return path.read_text("utf-8")
    except OSError as error:
        raise BadRequest(f"{path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadRequest(f"{path} is not text in UTF-8") from error
