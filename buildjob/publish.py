"""The story "publish": an unsigned entry that Spack wrote into a folder becomes a signed one on the mirror.

Blobs first, the manifest last: its appearance is the commit point, so a kill at any instant leaves a consistent mirror and
a repeated run finishes. Knows folders; S3 is not yet among the mirrors.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from buildjob import mirror
from buildjob.errors import PublishError
from buildjob.files import write_whole
from buildjob.telemetry import Publish

Sign = Callable[[bytes, str], bytes]
"""Takes a manifest's text and its name, returns what is to stand on the mirror."""


def publish(unsigned: Path, target: Path, *, sign: Sign, clock: Callable[[], float] = time.monotonic) -> Publish:
    """Move every spec entry of the unsigned tree to the mirror folder; return what was published.

    Raises PublishError if an entry is damaged or the mirror cannot be written; what is on the mirror stays consistent.
    """
    begun = clock()
    manifests = sorted((unsigned / "v3" / "manifests" / "spec").glob("*/*.spec.manifest.json"))
    if not manifests:
        raise PublishError(f"{unsigned}: Spack left no binary there; see the lines above")
    try:
        sent = sum(_publish_entry(path, unsigned, target, sign) for path in manifests)
    except OSError as error:
        raise PublishError(f"mirror {target}: {error.strerror or error} ({error.filename or 'no file named'})") from error
    last = target / manifests[-1].relative_to(unsigned)
    return Publish(state="published", url=last.as_uri(), bytes=sent, wall_seconds=round(clock() - begun, 3))


def _publish_entry(path: Path, unsigned: Path, target: Path, sign: Sign) -> int:
    """Publish one entry; return the number of bytes that were written."""
    text = path.read_bytes()
    manifest = mirror.parse_manifest(text, where=str(path))
    signed = sign(text, path.name)  # before anything is written: an unusable key leaves no trace
    sent = sum(_copy_blob(blob, unsigned, target) for blob in manifest.data)
    layout = target / "v3" / "layout.json"
    if not layout.exists():
        layout.parent.mkdir(parents=True, exist_ok=True)
        write_whole(layout, mirror.LAYOUT)
    place = target / path.relative_to(unsigned)
    place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place, signed)
    return sent + len(signed)


def _copy_blob(blob: mirror.Blob, unsigned: Path, target: Path) -> int:
    """Copy one blob unless the mirror has it whole; return the number of bytes written."""
    source, place = unsigned / blob.relative_path, target / blob.relative_path
    if mirror.matches(place, blob):
        return 0
    if mirror.sha256(source) != blob.checksum:
        raise PublishError(f"{source}: its content does not have the checksum that its name promises")
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        with source.open("rb") as reader, temporary.open("wb") as writer:
            while chunk := reader.read(1 << 20):
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
        temporary.replace(place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return blob.content_length
