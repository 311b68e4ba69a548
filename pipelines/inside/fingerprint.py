"""What a pipeline depends on, as one digest: `fingerprint.py [FOLDER …] < request.json`. Starts no Spack; one HEAD at most.

A cache may keep an answer as long as the fingerprint of its request is the same. It covers the request, the heads of Spack
and the package repositories, the environment, Spack's configuration, the ETag of the mirror's index and this generator.
The request has two keys for it: `mirror`, whose index is asked for, and `folders`, package repositories and configuration
scopes; those that only this machine has are arguments. Spack is $SPACK_ROOT, or the one on PATH; without one the exit
code is 3. What changes without any of these, such as a server of a dynamic mapping, is not seen.
"""

import hashlib
import json
import os
import sys

TYPE_CHECKING = False  # every import counts here
if TYPE_CHECKING:
    from typing import Iterable, Iterator, List, Mapping, Tuple

if not __package__:  # run as a file: the modules beside it are those of a package all the same
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    __import__("inside")
    __package__ = "inside"
from . import git_heads  # noqa: E402

MANIFEST = "v3/manifests/index/index.manifest.json"
_SECONDS = 10
_ENVIRONMENT = ("spack.yaml", "spack.lock")


def main() -> int:
    """Print the fingerprint of the request on standard input; return 2 if it is none, 4 if the mirror does not answer."""
    request: "dict[str, object]" = {}
    root = spack_root(os.environ)
    if not root:
        sys.stderr.write("fingerprint.py: there is no Spack; set SPACK_ROOT to its folder, or put its bin on PATH\n")
        return 3
    try:
        request = json.loads(sys.stdin.buffer.read().decode("utf-8"))
        given = request.get("folders")
        request["folders"] = (given if isinstance(given, list) else []) + sys.argv[1:]
        found = fingerprint(request, dict(os.environ, SPACK_ROOT=root))
    except (ValueError, AttributeError, TypeError) as error:
        sys.stderr.write(f"fingerprint.py: the request can't be used: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"fingerprint.py: {request.get('mirror')}: {error}\n")
        return 4
    sys.stdout.write(found + "\n")
    return 0


def spack_root(variables: "Mapping[str, str]") -> str:
    """Return the folder of the Spack that a generator here would use; empty without one."""
    if variables.get("SPACK_ROOT"):
        return variables["SPACK_ROOT"]
    for folder in variables.get("PATH", os.defpath).split(os.pathsep):
        program = os.path.join(folder or ".", "spack")
        root = os.path.dirname(os.path.dirname(os.path.realpath(program)))
        if os.access(program, os.X_OK) and os.path.isdir(os.path.join(root, "lib", "spack")):
            return root
    return ""


def fingerprint(request: "Mapping[str, object]", variables: "Mapping[str, str]") -> str:
    """Return the digest of everything that an answer to the request depends on."""
    digest = hashlib.sha256()
    for name, content in _parts(request, variables):
        digest.update(f"{len(name)}:{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def _parts(request: "Mapping[str, object]", variables: "Mapping[str, str]") -> "Iterator[Tuple[str, bytes]]":
    yield "request", json.dumps(request, sort_keys=True).encode("utf-8")
    folder = str(request.get("environment") or "")
    for name in _ENVIRONMENT:
        yield name, _content(os.path.join(folder, name)) if folder else b""
    if folder.endswith(".lock"):
        yield "lock", _content(folder)
    if request.get("sizes_file"):
        yield "sizes", _content(str(request["sizes_file"]))
    for path in _configuration(request, variables):
        yield path, _content(path)
    for repository in _repositories(request, variables):
        yield repository, git_heads.commit(repository).encode()
    yield "index", etag(str(request.get("mirror") or ""), variables).encode()
    here = os.path.dirname(os.path.abspath(__file__))
    for path in _files(here, ".py"):
        yield os.path.relpath(path, here), _content(path)


def _configuration(request: "Mapping[str, object]", variables: "Mapping[str, str]") -> "Iterator[str]":
    """Yield the files of Spack's configuration scopes: Spack's own, the machine's, the user's, and those given."""
    folders = [os.path.join(variables.get("SPACK_ROOT", ""), "etc/spack")] if variables.get("SPACK_ROOT") else []
    if not variables.get("SPACK_DISABLE_LOCAL_CONFIG"):
        home = variables.get("SPACK_USER_CONFIG_PATH") or os.path.join(variables.get("HOME", "/"), ".spack")
        folders += [variables.get("SPACK_SYSTEM_CONFIG_PATH") or "/etc/spack", home]
    given = request.get("folders")
    folders += [str(each) for each in given] if isinstance(given, list) else []
    for folder in folders:
        if not git_heads.is_checkout(folder):  # its head says it all
            for path in _files(folder, ".yaml", depth=2):
                yield path


def _repositories(request: "Mapping[str, object]", variables: "Mapping[str, str]") -> "Iterator[str]":
    root = variables.get("SPACK_ROOT", "")
    if root:
        yield root
    cache = variables.get("SPACK_USER_CACHE_PATH") or os.path.join(variables.get("HOME", "/"), ".spack")
    cloned = os.path.join(cache, "package_repos")
    for name in _names(cloned):
        yield os.path.join(cloned, name)
    given = request.get("folders")
    for each in given if isinstance(given, list) else []:
        yield str(each)


def _files(folder: str, ending: str, depth: int = 3) -> "List[str]":
    """Return the files below a folder, sorted."""
    found: "List[str]" = []
    for name in _names(folder):
        path = os.path.join(folder, name)
        if name.endswith(ending):
            found.append(path)
        elif depth > 1 and os.path.isdir(path):
            found += _files(path, ending, depth - 1)
    return found


def _names(folder: str) -> "Iterable[str]":
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return ()


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def etag(mirror: str, variables: "Mapping[str, str]") -> str:
    """Return what names the content of the mirror's index: an ETag; of a folder the manifest itself; empty without one.

    Raises OSError if the mirror does not answer, ValueError for an address that is none.
    """
    if not mirror:
        return ""
    if mirror.startswith("file://") or "://" not in mirror:
        path = mirror[len("file://") :] if "://" in mirror else mirror
        return hashlib.sha256(_content(os.path.join(path, MANIFEST))).hexdigest()
    return _etag_of_server(mirror.rstrip("/") + "/" + MANIFEST, variables)


def _etag_of_server(url: str, variables: "Mapping[str, str]") -> str:
    import http.client  # noqa: PLC0415 (with its own imports more than all the rest)
    import urllib.parse  # noqa: PLC0415

    from .mirror import s3_request  # noqa: PLC0415

    headers: "dict[str, str]" = {}
    if url.startswith("s3://"):
        who = s3_request.access({}, variables)
        if who is None:
            raise ValueError("no access keys for S3; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        url, headers = s3_request.signed(url, "HEAD", who)
    parsed = urllib.parse.urlsplit(url)
    kinds = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}
    if parsed.scheme not in kinds:
        raise ValueError(f"{url}: only file://, s3://, http:// and https:// have an index that can be asked for")
    connection = kinds[parsed.scheme](parsed.hostname or "", parsed.port, timeout=_SECONDS)
    try:
        try:
            connection.request("HEAD", parsed.path, headers=headers)
            answer = connection.getresponse()
        except http.client.HTTPException as error:
            raise OSError(f"no answer of HTTP: {error!r}") from error
        if answer.status in (404, 410):
            return ""
        if answer.status != 200:
            raise OSError(f"the index is not to be had: HTTP {answer.status}")
        return answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
