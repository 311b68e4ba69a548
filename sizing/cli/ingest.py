"""`ingest`: documents into the history, with a line for each source."""

import os
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sizing.cli.arguments import Arguments, environment, history
from sizing.documents import printable
from sizing.errors import BadRequest, SourceError
from sizing.history.history import History, open_history
from sizing.ingest import Tally, ingest
from sizing.sources.folder import Folder
from sizing.sources.source import Source
from status_line.progress import Progress
from status_line.screen import screen_for


def run(arguments: Arguments) -> int:
    """Read all sources; return 1 if one could not be read to its end."""
    if not arguments.source and not arguments.list_aside:
        raise BadRequest("name a source: a folder, a document or s3://BUCKET/PREFIX")
    screen = screen_for(sys.stderr, environment(), quiet=arguments.quiet)
    say = None if arguments.quiet else _say
    progresses = [
        Progress(f"reading {text}", unit=("document", "documents"), screen=screen, say=say) for text in arguments.source
    ]
    sources = [_source(text, arguments, each) for text, each in zip(arguments.source, progresses, strict=True)]
    failed = False
    with open_history(history(arguments)) as opened:
        for source, progress in zip(sources, progresses, strict=True):
            try:
                _ingest(source, opened, progress, again=arguments.again)
            except SourceError as error:
                _say(str(error))
                failed = True
        if arguments.list_aside:
            sys.stdout.writelines(f"{printable(f'{place}: {reason}')}\n" for place, reason in opened.aside())
    return int(failed)


def _say(text: str) -> None:
    sys.stderr.write(f"spack-farm sizing ingest: {text}\n")
    sys.stderr.flush()


def _source(text: str, arguments: Arguments, progress: Progress) -> Source:
    if text.startswith("s3:"):
        from sizing.sources.s3 import Bucket  # noqa: PLC0415  boto3, only for those who read S3

        return Bucket(text, trusted=arguments.trusted, endpoint_url=arguments.endpoint_url, retried=progress.retried)
    path = Path(unquote(urlsplit(text).path)) if text.startswith("file://") else Path(text)
    if "://" in text and not text.startswith("file://"):
        raise BadRequest(f"{text}: give a folder, a document, file:///PATH or s3://BUCKET/PREFIX")
    if text in {"", "file://"} or not os.path.lexists(path):
        raise BadRequest(f"{text.removeprefix('file://') or 'an empty SOURCE'}: there is no such file or folder")
    return Folder(path, trusted=arguments.trusted)


def _ingest(source: Source, opened: History, progress: Progress, *, again: bool) -> None:
    begun = time.monotonic()
    with progress:
        tally = ingest(source, opened, now=time.time(), again=again, progress=progress)
    rate = ", ".join([_rate(tally.read, begun), *progress.facts()])
    sys.stdout.write(f"{source.name}: {_summary(tally)}; {rate}\n")


def _summary(tally: Tally) -> str:
    """Return `1,200 documents read, 1,100 new (all trusted), 80 known, 20 set aside (18 absurd, 2 incomplete)`."""
    parts = [f"{tally.read:,} documents read", f"{tally.new:,} new"]
    if tally.new:
        parts[-1] += " (all trusted)" if tally.trusted == tally.new else f" ({tally.trusted:,} trusted)"
    parts += [f"{tally.known:,} known"] if tally.known else []
    if tally.aside:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in tally.aside.most_common(5))
        parts.append(f"{tally.aside.total():,} set aside ({reasons}; --list-aside names them)")
    return ", ".join(parts)


def _rate(count: int, begun: float) -> str:
    return f"{count / max(time.monotonic() - begun, 0.001):,.0f}/s"
