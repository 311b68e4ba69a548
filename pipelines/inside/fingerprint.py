"""What a pipeline depends on, as one digest: `fingerprint.py [-C FOLDER …] < request.json`. Starts no Spack.

A cache may keep an answer as long as the fingerprint of its request is the same. It covers the request, the heads of Spack
and the package repositories, the environment, Spack's configuration and what that includes, the ETag of the mirror's index
(by one HEAD) and this generator. The request has two keys for it: `mirror`, whose index is asked for, and `folders`, package
repositories and configuration scopes; those that only this machine has are arguments, with or without -C. Spack is
$SPACK_ROOT, or the one on PATH; without one the exit code is 3. A server of a dynamic mapping is not asked, and changes that
are in no commit of a checkout are not seen.
"""

import hashlib
import json
import os
import sys

TYPE_CHECKING = False  # every import counts here
if TYPE_CHECKING:
    from typing import Iterator, Mapping, Tuple

if not __package__:  # run as a file: the modules beside it are those of a package all the same
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __import__("inside")
    __package__ = "inside"
from . import inputs  # noqa: E402

_OPTIONS = ("-C", "--config-scope")


def main() -> int:
    """Print the fingerprint of the request on standard input; return 2 if it is none, 4 if the mirror does not answer."""
    request: "dict[str, object]" = {}
    if not inputs.spack_root(os.environ):
        sys.stderr.write("fingerprint.py: there is no Spack; set SPACK_ROOT to its folder, or put its bin on PATH\n")
        return 3
    folders = [word for word in sys.argv[1:] if word not in _OPTIONS]
    absent = next((folder for folder in folders if not os.path.isdir(folder)), "")
    if absent:
        sys.stderr.write(f"fingerprint.py: there is no folder {absent}; give the scopes that Spack is given, with -C\n")
        return 2
    try:
        request = json.loads(sys.stdin.buffer.read().decode("utf-8"))
        given = request.get("folders")
        request["folders"] = (given if isinstance(given, list) else []) + folders
        found = fingerprint(request, os.environ)
    except (ValueError, AttributeError, TypeError) as error:
        sys.stderr.write(f"fingerprint.py: the request can't be used: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"fingerprint.py: {request.get('mirror')}: {error}\n")
        return 4
    sys.stdout.write(found + "\n")
    return 0


def fingerprint(request: "Mapping[str, object]", variables: "Mapping[str, str]") -> str:
    """Return the digest of everything that an answer to the request depends on.

    Raises OSError if the mirror does not answer, ValueError for an address that is none.
    """
    digest = hashlib.sha256()
    for name, content in _parts(request, variables):
        digest.update(f"{len(name)}:{name}:{len(content)}:".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _parts(request: "Mapping[str, object]", variables: "Mapping[str, str]") -> "Iterator[Tuple[str, bytes]]":
    yield "request", json.dumps(request, sort_keys=True).encode("utf-8")
    files, folders = request.get("files"), request.get("folders")
    found = inputs.Inputs(variables)
    found.add_environment(str(request.get("environment") or ""), files if isinstance(files, dict) else {})
    found.add_configuration([str(each) for each in folders] if isinstance(folders, list) else [])
    yield from found.parts
    if request.get("sizes_file"):
        yield "sizes", inputs.content(str(request["sizes_file"]))
    if request.get("mirror"):
        # with all that it imports more than the rest
        from .mirror import etag  # noqa: PLC0415

        yield "index", etag.etag(str(request["mirror"]), variables).encode("utf-8")
    here = os.path.dirname(os.path.abspath(__file__))
    for path in inputs.files_below(here, ".py"):
        yield os.path.relpath(path, here), inputs.content(path)


if __name__ == "__main__":
    sys.exit(main())
