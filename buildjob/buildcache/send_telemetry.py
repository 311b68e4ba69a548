"""The story "telemetry": the documents of builds, one object each, beside the binaries.

Sizes are computed from `telemetry/v1/protected/`, not from `telemetry/v1/other/`. The credentials decide which of the two
can be written: trust comes from the place, never from a document's content. Documents are never replaced.
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
    """Return the telemetry documents among files and below folders. Raises PublishError if there is none."""
    files = [file for path in paths for file in (sorted(path.rglob("telemetry.json")) if path.is_dir() else [path])]
    if not files:
        raise PublishError(f"{', '.join(map(str, paths))}: there is no telemetry.json")
    return files


def send(files: Sequence[Path], store: Store, place: Place) -> list[str]:
    """Upload documents, unless they are there already; return their keys.

    Raises PublishError, before anything is uploaded, if one is not a finished document of version 1.
    """
    documents = {_key(file, place): file for file in files}
    for key, file in documents.items():
        with contextlib.suppress(Conflict):
            try:
                store.write(key, file.read_bytes(), only_if=ABSENT)
            except Unsupported:  # without a condition: the key has the content's checksum, so only the same can be there
                store.write(key, file.read_bytes())
    return list(documents)


def _key(file: Path, place: Place) -> str:
    """Return a document's key: by day, with the name of the package and the checksum of the content."""
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise PublishError(f"{file}: larger than {_LARGEST_BYTES} bytes, the most that telemetry may be")
        document = telemetry.read(file)
        content = hashlib.sha256(file.read_bytes()).hexdigest()
    except (OSError, msgspec.MsgspecError) as error:
        raise PublishError(f"{file}: not a telemetry document: {error}") from error
    if not document.complete:
        raise PublishError(f"{file}: incomplete: its build still runs, or was killed")
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{document.spec.name}-{document.spec.version}")[:120]
    day = re.sub(r"[^0-9-]", "", document.started_at[:10])
    return f"{layout.TELEMETRY}{place}/{day}/{name}-{content[:20]}.json"
