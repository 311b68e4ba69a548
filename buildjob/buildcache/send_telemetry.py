"""The story "telemetry": what builds measured goes to a place of its own beside the binaries, one object a document.

`telemetry/v1/protected/` trains sizes, `telemetry/v1/other/` does not. Which of the two may be written is the business of
the credentials: trust comes from the place, never from what a document says of itself. Documents are never replaced.
"""

import contextlib
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from buildjob import telemetry
from buildjob.buildcache import layout
from buildjob.buildcache.storage.store import ABSENT, Store
from buildjob.errors import Conflict, PublishError, Unsupported

Place = Literal["protected", "other"]
_LARGEST_BYTES = 16 << 20


def found(paths: Sequence[Path]) -> list[Path]:
    """Return the finished runs' documents among files and below folders. Raises PublishError if there is none."""
    files = [file for path in paths for file in (sorted(path.rglob("telemetry.json")) if path.is_dir() else [path])]
    if not files:
        raise PublishError(f"{', '.join(map(str, paths))}: there is no telemetry.json")
    return files


def send(files: Sequence[Path], store: Store, place: Place) -> list[str]:
    """Put documents on the mirror; return their keys. One that is there already is not sent again.

    Raises PublishError if one is no finished document of version 1: nothing of it is sent.
    """
    documents = {_key(file, place): file for file in files}
    for key, file in documents.items():
        with contextlib.suppress(Conflict):
            try:
                store.write(key, file.read_bytes(), only_if=ABSENT)
            except Unsupported:  # the same content, then, under the same name
                store.write(key, file.read_bytes())
    return list(documents)


def _key(file: Path, place: Place) -> str:
    """Return where a document goes: by day, named after what was built and after its own content."""
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise PublishError(f"{file}: larger than {_LARGEST_BYTES} bytes, which no telemetry is")
        document = telemetry.read(file)
        content = hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, msgspec.MsgspecError) as error:
        raise PublishError(f"{file}: no telemetry that could be sent: {error}") from error
    if not document.complete:
        raise PublishError(f"{file}: its build runs still, or was killed before it could end the document")
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{document.spec.name}-{document.spec.version}")[:120]
    day = re.sub(r"[^0-9-]", "", document.started_at[:10])
    return f"{layout.TELEMETRY}{place}/{day}/{name}-{content[:20]}.json"
