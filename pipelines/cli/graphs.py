"""Where the verbs that read a job graph get it from, and how they write what they found."""

import sys
from pathlib import Path

from pipelines import mirrors
from pipelines.errors import BadRequest, PipelineError
from pipelines.inside.document import FILE
from pipelines.job_graph import LARGEST_BYTES, JobGraph, read


def graph_at(place: str, *, endpoint_url: str = "") -> JobGraph:
    """Return the graph of a file, of the folder of a generation's artifacts, or at an address. Raises PipelineError."""
    if "://" in place:
        address, _, name = place.rpartition("/")
        content = mirrors.Mirror(address, endpoint_url=endpoint_url).read(name)
        if content is None:
            raise BadRequest(f"{place}: there is no job graph")
        return read(content)
    path = Path(place)
    if path.is_dir():
        path /= FILE
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise BadRequest(f"{path} has more than {LARGEST_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        advice = "'spack-farm pipelines generate' writes one to jobs_scratch_dir/job-graph.json"
        raise BadRequest(f"{path} can't be read: {error.strerror}; {advice}") from error
    try:
        return read(content)
    except PipelineError as error:
        raise type(error)(f"{path}: {error}") from error


def write_page(path: str, page: str) -> None:
    """Write a page so that it appears whole. Raises BadRequest."""
    new = Path(f"{path}.new")
    try:
        new.write_text(page, "utf-8")
        new.replace(path)
    except OSError as error:
        raise BadRequest(f"--page {path}: can't be written: {error.strerror}") from error


def print_text(text: str) -> None:
    """Print a text; what the terminal's encoding does not have is replaced."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
