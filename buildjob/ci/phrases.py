"""The last line of a failed job, for people and for Spack's error taxonomy, which sorts jobs by what their logs say. Pure.

Each phrase is one that the taxonomy has for the cause, and says what happened. Where several match, its order decides.
Source: spack-infrastructure, analytics/analytics/job_processor (`error_taxonomy.yaml`).
"""

from buildjob.outcome import Outcome
from buildjob.telemetry import FetchFault, Telemetry

_OF_S3 = "The AWS Access Key Id you provided does not exist in our records, or the like"
_OF_FETCHING = {
    "timeout": "The read operation timed out",
    "name": "could not resolve host",
    "name_later": "could not resolve host",
    "absent": "HTTP Error 404 or no such file",
    "http": "HTTP Error 404 or another rejection",
    "busy": "HTTP Error 503 or the like",
    "refused": "ConnectionResetError: or the connection was refused",
    "unreachable": "ConnectionResetError: or there is no way to it",
    "disconnected": "http.client.RemoteDisconnected or the like",
    "certificate": "curl: (60) or the like, a certificate",
    "tls": "curl: (60) or the like, TLS",
    "checksum": "Error: sha256 checksum failed for the source",
    "damaged": "Error: sha256 checksum failed for a binary",
    "denied": "curl: (22) or the like, HTTP Error 401 or 403",
    "credentials": _OF_S3,
    "no_bucket": "HTTP Error 404 or no such bucket",
}
"""By the kind of the first fault, as `spack/mirror_faults.py` has them."""
_OF_OUTCOMES = {
    Outcome.BUILD_FAILED: "error found in build log: {error}",
    Outcome.DEPENDENCY_FAILED: "no binary available of a dependency",
    Outcome.DISK_FULL: "No space left on device",
    Outcome.MEMORY_KILLED: "command terminated with exit code 137, out of memory",
    Outcome.SPACK_UNUSABLE: "spack.error.InstallError or the like: Spack itself failed",
    Outcome.TIMED_OUT: "ERROR: Job failed: execution took longer than --timeout",
}


def last_line(document: Telemetry) -> str:
    """Return what ended the job: outcome, exit code, and the phrase of its class, if there is one."""
    outcome = Outcome(document.outcome)
    error = document.first_error.text if document.first_error else "its end says most"
    phrase = _OF_OUTCOMES.get(outcome, "").format(error=error)
    if outcome is Outcome.FETCH_FAILED:
        known_faults = [fault for fault in document.fetch_faults if fault.kind in _OF_FETCHING]
        phrase = _of_fault(known_faults[0]) if known_faults else ""
    known = document.spec
    title = f"{known.name}@{known.version}/{known.hash[:7]}"
    return f"{title}: {outcome.value} (exit code {document.exit_code}){': ' if phrase else ''}{phrase}"


def _of_fault(fault: FetchFault) -> str:
    return _OF_S3 if fault.kind == "denied" and fault.url.startswith("s3://") else _OF_FETCHING[fault.kind]
