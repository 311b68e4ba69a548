"""Asks binary mirrors which binaries they have, each by one read of its index, whatever its size.

Source: Spack 1.1, lib/spack/spack/url_buildcache.py: `v3/manifests/index/index.manifest.json` names the blob of the index by
its SHA-256. The older layout has `build_cache/index.json`.
"""

import contextlib
import gzip
import hashlib
import json
import os
import re
import tempfile
import urllib.error
import urllib.request

import spack.config
import spack.mirrors.mirror
import spack.util.url
import spack.util.web

from ..specs import BadRequest, FetchFailed
from . import index_reader, s3_request

DESTINATION = "buildcache-destination"
SOURCE = "buildcache-source"
MANIFEST = "v3/manifests/index/index.manifest.json"
OLD = "build_cache/index.json"
# a part of a path that was a variable: what it held begins with a scheme, or it was not set
_OF_A_VARIABLE = re.compile(r"(?:[a-z][a-z0-9+.-]+:|\$.*)\Z", re.DOTALL)
_IN_MEMORY = 8 << 20
_LARGEST_MANIFEST = 1 << 20
_ABSENT = (404, 410)
_ABSENT_CODES = ("NoSuchKey", "NotFound", "404")


class Absent(Exception):  # noqa: N818  named for what it is
    """There is nothing at an address."""


def binary_mirrors():
    return list(spack.mirrors.mirror.MirrorCollection(binary=True).values())


def destination(mirrors):
    """The mirror that the jobs publish to."""
    found = next((mirror for mirror in mirrors if mirror.name == DESTINATION), None)
    if found is None:
        raise BadRequest(f"a pipeline needs a mirror named '{DESTINATION}'; add it to the environment's mirrors")
    # Spack expands variables after it has looked for a scheme
    folder = spack.util.url.local_file_path(found.push_url) if found.push_url.startswith("file:") else ""
    if any(_OF_A_VARIABLE.match(part) for part in (folder or "").split("/")):
        raise BadRequest(
            f"mirror {DESTINATION}: {folder}: in a mirror's url Spack takes a variable for a folder, whatever it holds; "
            f"write the address itself there: spack -e ENV mirror set --url URL {DESTINATION}"
        )
    return found


def on_mirrors(mirrors, target):
    """The address of the mirror that has a binary, by hash, the first of them; and warnings.

    The destination must answer: without it every package would be built again. Others are left out with a warning.
    """
    found, warnings = {}, []
    for mirror in mirrors:
        url = mirror.fetch_url
        try:
            for dag_hash in hashes(mirror):
                found.setdefault(dag_hash, url)
        except Absent:
            if mirror is target:
                warnings.append(f"{url}: there is no index; nothing is taken to be there, and every package gets a job")
        except (index_reader.NotAnIndex, FetchFailed) as error:
            if mirror is target:
                advice = "make it anew with 'spack-farm publish index --rebuild'"
                is_damaged = isinstance(error, index_reader.NotAnIndex)
                raise FetchFailed("{}: {}{}".format(url, error, "; " + advice if is_damaged else "")) from error
            warnings.append(f"{url}: not asked which binaries it has: {error}")
    return found, warnings


def hashes(mirror):
    """What the mirror's index lists. Raises Absent, NotAnIndex or FetchFailed."""
    base = mirror.fetch_url
    try:
        manifest = read_small(spack.util.url.join(base, MANIFEST), mirror)
    except Absent:
        with downloaded(spack.util.url.join(base, OLD), mirror, "") as file:
            return index_reader.binaries(file)
    blob = blob_of(manifest)
    checksum = blob["checksum"]
    url = spack.util.url.join(base, "blobs", "sha256", checksum[:2], checksum)
    try:
        with downloaded(url, mirror, checksum) as file:
            packed = blob.get("compression", "none") == "gzip"
            try:
                return index_reader.binaries(gzip.GzipFile(fileobj=file) if packed else file)
            except (EOFError, OSError) as error:
                raise index_reader.NotAnIndex(f"its blob can't be unpacked ({error})") from error
    except Absent as error:
        raise index_reader.NotAnIndex(f"the index names a blob that is not there: {url}") from error


def blob_of(manifest):
    try:
        document = json.loads(manifest.decode("utf-8"))
        blob = document["data"][0]
        checksum = blob["checksum"]
        is_known = blob.get("checksumAlgorithm", "sha256") == "sha256" and len(checksum) == 64 and int(checksum, 16) >= 0
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise index_reader.NotAnIndex(f"{MANIFEST} is no manifest ({type(error).__name__}: {error})") from error
    if not is_known:
        raise index_reader.NotAnIndex(f"{MANIFEST} names no SHA-256")
    return blob


def read_small(url, mirror):
    with opened(url, mirror) as answer:
        content = answer.read(_LARGEST_MANIFEST + 1)
    if len(content) > _LARGEST_MANIFEST:
        raise index_reader.NotAnIndex(f"{MANIFEST} has more than 1 MiB")
    return content


@contextlib.contextmanager
def downloaded(url, mirror, checksum):
    """A file with what is at an address; large ones are on disk. Raises NotAnIndex if it has another checksum."""
    digest = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        with opened(url, mirror) as answer:
            while True:
                try:
                    chunk = answer.read(1 << 20)
                except Exception as error:  # of any kind: urllib's, http.client's, botocore's
                    raise FetchFailed(f"{url}: the answer is cut off ({said(error)})") from error
                if not chunk:
                    break
                digest.update(chunk)
                file.write(chunk)
        if checksum and digest.hexdigest() != checksum:
            raise index_reader.NotAnIndex(f"its blob has another checksum than the index says: {url}")
        file.seek(0)
        yield file


@contextlib.contextmanager
def opened(url, mirror):
    """What is at an address. Raises Absent or FetchFailed."""
    try:
        answer = open_url(url, mirror)
    except Exception as error:  # of any kind: urllib's, http.client's, botocore's
        if is_absent(error):
            raise Absent(url) from error
        raise FetchFailed(f"{url}: {said(error)}") from error
    with contextlib.closing(answer):
        yield answer


def open_url(url, mirror):
    seconds = float(spack.config.get("config:connect_timeout", 10) or 10)
    if url.startswith("file://"):
        return open(spack.util.url.local_file_path(url), "rb")
    if url.startswith("s3://"):
        who = s3_request.access(settings(mirror), os.environ)
        if who and spack.config.get("config:verify_ssl", True):
            address, headers = s3_request.signed(url, "GET", who)
            return urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=seconds)
    return spack.util.web.urlopen(urllib.request.Request(url), timeout=seconds)


def settings(mirror):
    """What the configuration says of a mirror's access, in plain texts."""
    credentials = mirror.get_credentials("fetch")
    pair = credentials.get("access_pair") or ("", "")
    return {
        "access_key_id": pair[0] or "",
        "access_key_secret": pair[1] or "",
        "access_token": credentials.get("access_token") or "",
        "endpoint_url": mirror.get_endpoint_url("fetch") or "",
        "profile": credentials.get("profile") or "",
    }


def is_absent(error):
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return True
        if isinstance(error, urllib.error.HTTPError):
            return error.code in _ABSENT
        response = getattr(error, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", "")) in _ABSENT_CODES
        inner = getattr(error, "reason", None)
        error = (
            inner
            if isinstance(inner, BaseException)
            else next((each for each in error.args if isinstance(each, BaseException)), error.__cause__)
        )
    return False


def said(error):
    """The first line of an error, without what can't be printed: it may be a server's."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return "".join(letter if letter.isprintable() else "?" for letter in lines[0])[:300]
