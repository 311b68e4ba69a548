"""Runs inside Spack's own Python, for `concretize.py`: asks binary mirrors, and says what keeps one from answering.

Spack itself swallows most of these errors, and ends with a traceback on the others. Here each becomes a fault: {"mirror",
"url", "kind", "text"}. Its kind is decided by the exception's class, number or status, never by its text. What a kind means
is decided in `buildjob/spack/mirror_faults.py`. Written for Spack 1.1, 1.2.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import signal
import socket
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

import spack.binary_distribution
import spack.config
import spack.database
import spack.error
import spack.mirrors.mirror
import spack.url_buildcache
import spack.util.s3
import spack.util.url
import spack.util.web

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # `spack python` leaves it as it is
import s3_reader
from s3_reader import TooSlow

LOCAL = ("file://", "/")
WITH_CREDENTIALS = ("s3://", "gs://")
LARGE_SECONDS = 600
PARTIAL = ("index", "entry", "damaged")
ABSENT_CODES = ("NoSuchKey", "NotFound", "404")
# they say nothing of what the bucket has, as AccessDenied does where listing is not allowed
CREDENTIAL_CODES = (
    "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidToken", "RequestTimeTooSkewed",
    "SignatureDoesNotMatch", "TokenRefreshRequired",
)  # fmt: skip
# botocore's classes; the package may be missing
BOTO_KINDS = {
    "ConnectTimeoutError": "timeout", "ReadTimeoutError": "timeout", "SSLError": "certificate",
    "ConnectionClosedError": "disconnected", "ResponseStreamingError": "disconnected", "IncompleteReadError": "disconnected",
    "ProxyConnectionError": "unreachable", "HTTPClientError": "disconnected",
    "NoCredentialsError": "denied", "PartialCredentialsError": "denied", "CredentialRetrievalError": "denied",
    "TokenRetrievalError": "denied", "SSOError": "denied", "NoAuthTokenError": "denied",
    "ProfileNotFound": "configuration", "ConfigParseError": "configuration", "InvalidRegionError": "configuration",
    "NoRegionError": "configuration", "UnknownServiceError": "configuration", "ParamValidationError": "configuration",
    "InvalidProxiesConfigError": "configuration",
}  # fmt: skip
RESOLVED_LATER = (socket.EAI_AGAIN, socket.EAI_FAIL)
OF_THE_NETWORK = (
    "timeout", "refused", "disconnected", "unreachable", "name", "name_later", "certificate", "tls", "busy",
)  # fmt: skip
NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)
# the first that applies: some are subclasses of later ones
KINDS = (
    ((ModuleNotFoundError, spack.error.MirrorError), "configuration"),
    (ssl.SSLCertVerificationError, "certificate"),
    (ssl.SSLError, "tls"),
    (socket.timeout, "timeout"),
    (ConnectionRefusedError, "refused"),
    ((ConnectionError, http.client.IncompleteRead), "disconnected"),
    ((FileNotFoundError, NotADirectoryError), "absent"),
    (PermissionError, "denied"),
)


def seconds():
    """How long a mirror may be silent."""
    return float(spack.config.get("config:connect_timeout", 10) or 10)


def request_limit_seconds():
    """How long a request may take that is answered bit by bit; gpg, which checks what came, takes a while, too."""
    return max(30.0, 3 * seconds())


class Faults:
    """The faults that were found; the first of each mirror counts, unless a worse one follows."""

    def __init__(self, known=()):
        self.known = set(known)  # names of mirrors that are not to be asked again
        self.answered = set()  # names of those that have an index, or a manifest, that could be read
        self.found = {}

    def add(self, mirror, kind, text):
        first = self.found.get(mirror.name)
        if first is None or (first["kind"] in PARTIAL and kind not in PARTIAL):
            self.found[mirror.name] = {"mirror": mirror.name, "url": mirror.fetch_url, "kind": kind, "text": text}

    def silent(self, mirror):
        """Whether to ask it nothing more."""
        fault = self.found.get(mirror.name)
        return mirror.name in self.known or (fault is not None and fault["kind"] not in PARTIAL)

    def all(self):
        return list(self.found.values())


def binary_mirrors():
    return list(spack.mirrors.mirror.MirrorCollection(binary=True).values())


def kind_and_text(error):
    """What an exception, or the first of its causes that says more, means."""
    seen, waiting = [], [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or any(one is each for each in seen):
            continue
        seen.append(one)
        kind = kind_of(one)
        if kind:
            return kind, text_of(one, kind)
        waiting += [getattr(one, "reason", None), *getattr(one, "exceptions", ()), *one.args, one.__cause__, one.__context__]
    kind = "unknown" if isinstance(error, OSError) else "garbled"
    return kind, text_of(error, kind)


def text_of(error, kind):
    if kind == "timeout" and not isinstance(error, TooSlow):
        return f"no answer within {seconds():g} s (config:connect_timeout)"
    # the first line: a schema's error quotes the whole schema. It may hold what a server sent
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines() or [type(error).__name__]
    return "".join(letter if letter.isprintable() else "?" for letter in lines[0])[:300].rstrip(" .:")


def kind_of(error):
    """The kind of one exception, whatever caused it; empty if it says nothing itself."""
    if isinstance(error, s3_reader.AbsentError) or type(error).__module__.startswith("botocore"):
        return kind_of_boto(error)
    if isinstance(error, urllib.error.HTTPError):
        return kind_of_status(error.code)
    if isinstance(error, urllib.error.URLError):
        return "configuration" if isinstance(error.reason, str) else ""
    if isinstance(error, socket.gaierror):
        return "name_later" if error.errno in RESOLVED_LATER else "name"
    kind = next((kind for classes, kind in KINDS if isinstance(error, classes)), "")
    if kind or not isinstance(error, OSError):
        return kind
    return "unreachable" if error.errno in NO_WAY else "io" if error.errno else ""


def kind_of_status(status):
    if status in (404, 410):
        return "absent"
    if status in (401, 403, 407):
        return "denied"
    return "busy" if status in (408, 425, 429) or status >= 500 else "http"


def kind_of_boto(error):
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) or 0)
        if code == "NoSuchBucket":
            return "no_bucket"
        if code in ABSENT_CODES:
            return "absent"
        if code in CREDENTIAL_CODES:
            return "credentials"
        # an S3 server may answer 404 to a key that it does not know
        return "denied" if status in (401, 403, 404) else kind_of_status(status)
    names = [each.__name__ for each in type(error).__mro__]
    if "EndpointConnectionError" in names:
        return kind_of_host(str(getattr(error, "kwargs", {}).get("endpoint_url", "")))
    return next((BOTO_KINDS[name] for name in names if name in BOTO_KINDS), "configuration")


def kind_of_host(url):
    """Why nothing answers at an address: botocore does not say."""
    try:
        socket.getaddrinfo(urllib.parse.urlsplit(url).hostname, None)
    except socket.gaierror as error:
        return kind_of(error)
    except (ValueError, TypeError, OSError):
        return "configuration"
    return "refused"


@contextlib.contextmanager
def at_most(limit):
    """Raise TooSlow in the block after the limit: the time-outs of sockets count from each byte anew."""

    def stop(_number, _frame):
        raise TooSlow(f"no whole answer within {limit:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    left, _ = signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)
        signal.signal(signal.SIGALRM, before)


def bound_s3():
    """Let Spack read from S3 without boto3 where that is possible, and with the time-outs that it has for HTTP.

    boto3's are a minute, five times.
    """
    original, readers = spack.util.s3.get_s3_session, {}

    def get_s3_session(url, method="fetch"):
        address = url if isinstance(url, str) else url.geturl()
        mirror = mirror_of(address, method)
        reader = readers.get((mirror and mirror.name, method))
        if reader is None:
            connection, arguments = spack.util.s3.get_mirror_s3_connection_info(mirror, method)

            def boto3_client():
                with bound_boto(attempts=1 if reader.had_no_answer else 2):
                    return original(url, method=method)

            def route(bucket):
                return s3_reader.route_of(bucket, connection, arguments, os.environ)  # noqa: TID251  as boto3 does

            reader = readers[mirror and mirror.name, method] = s3_reader.Reader(boto3_client, route, seconds)
        return reader

    spack.util.s3.get_s3_session = spack.util.web.get_s3_session = get_s3_session


def mirror_of(url, method):
    """The mirror whose credentials Spack takes for an address: the one with the longest matching address."""
    matching = [
        mirror
        for mirror in spack.mirrors.mirror.MirrorCollection().values()
        if url.startswith(mirror.fetch_url if method == "fetch" else mirror.push_url)
    ]
    return max(matching, key=lambda mirror: len(mirror.fetch_url if method == "fetch" else mirror.push_url), default=None)


@contextlib.contextmanager
def bound_boto(attempts):
    """Bound the clients that boto3 makes in the block; nothing if it is missing."""
    try:
        import boto3
        import botocore.config
    except ImportError:
        yield
        return
    bounds = botocore.config.Config(
        connect_timeout=seconds(), read_timeout=seconds(), retries={"mode": "standard", "total_max_attempts": attempts}
    )
    original = boto3.session.Session.client

    def client(session, *arguments, config=None, **options):
        return original(session, *arguments, config=bounds.merge(config) if config else bounds, **options)

    boto3.session.Session.client = client
    try:
        yield
    finally:
        boto3.session.Session.client = original


def request(url, method):
    """Make a request as Spack does; raises what went wrong, which Spack's `url_exists` hides."""
    wanted = urllib.request.Request(url, method=method, headers={"User-Agent": spack.util.web.SPACK_USER_AGENT})
    with at_most(request_limit_seconds()):
        return spack.util.web.urlopen(wanted, timeout=seconds())


class IndexWatch:
    """Lets the concretizer go on without the index of a mirror that has a fault.

    Spack swallows some faults, and ends on the first one that it does not expect.
    """

    def __init__(self, faults):
        self.faults = faults
        self.asked = False
        self.index = spack.binary_distribution.BINARY_INDEX.instance  # of a proxy
        self.fetch, self.associate = self.index._fetch_and_cache_index, self.index._associate_built_specs_with_mirror
        self.index._fetch_and_cache_index = self.watched_fetch
        self.index._associate_built_specs_with_mirror = self.watched_associate
        spack.binary_distribution.BuildCacheDatabase = StrictDatabase
        spack.binary_distribution.update_cache_and_get_specs = self.update_and_get_specs

    def update_and_get_specs(self):
        self.asked = True
        with contextlib.suppress(spack.binary_distribution.FetchCacheError):  # no mirror has an index
            self.index.update()
        return self.index.get_all_built_specs()

    def watched_fetch(self, url_and_version, cache_entry={}):  # noqa: B006  Spack's own signature
        mirror = by_url(url_and_version.url)
        if self.faults.silent(mirror):
            raise spack.binary_distribution.FetchIndexError(f"mirror {mirror.name} was left out")
        try:
            with at_most(LARGE_SECONDS):
                if mirror.fetch_url.startswith((*LOCAL, "oci://")):
                    pass
                elif url_and_version.version >= 3:
                    read_index_manifest(mirror, self.faults)
                else:
                    layout = spack.url_buildcache.get_url_buildcache_class(layout_version=url_and_version.version)
                    request(layout.get_index_url(mirror.fetch_url), "HEAD")
                return self.fetch(url_and_version, cache_entry=cache_entry)
        except Exception as error:
            kind, text = kind_and_text(error)
            # a mirror of the new layout need not have the old one, and some servers call what they lack forbidden
            if kind == "absent" or (url_and_version.version < 3 and mirror.name in self.faults.answered):
                return False
            self.note(mirror, kind, text)
            raise spack.binary_distribution.FetchIndexError(text) from error

    def note(self, mirror, kind, text):
        if kind == "denied" and mirror.fetch_url.startswith(WITH_CREDENTIALS):
            return  # this process has none; the one that runs `lookup` has
        # a mirror whose index alone can't be read still has packages
        self.faults.add(mirror, "index" if kind == "garbled" else kind, text)

    def watched_associate(self, cache_key, url_and_version):
        try:
            self.associate(cache_key, url_and_version)
        except Exception as error:
            self.faults.add(by_url(url_and_version.url), "index", kind_and_text(error)[1])


class StrictDatabase(spack.binary_distribution.BuildCacheDatabase):
    """Fails on the index of a later version of Spack, of which Spack only warns."""

    def _read_from_file(self, *arguments, **options):
        try:
            super()._read_from_file(*arguments, **options)
        except spack.database.InvalidDatabaseVersionError as error:
            raise ValueError(error.database_version_message) from error


def by_url(url):
    return next(mirror for mirror in binary_mirrors() if mirror.fetch_url == url)


def probe(mirror, faults):
    """Ask a remote mirror for the manifest of its index: whether it answers at all, and as a build cache does."""
    try:
        read_index_manifest(mirror, faults)
    except Exception as error:
        kind, text = kind_and_text(error)
        if kind != "absent":
            faults.add(mirror, "index" if kind == "garbled" else kind, text)


def read_index_manifest(mirror, faults):
    """Read the manifest of a mirror's index, which is small, and note that it could be; raises what went wrong."""
    entry = spack.url_buildcache.URLBuildcacheEntry(mirror.fetch_url, allow_unsigned=True)
    try:
        with at_most(request_limit_seconds()):
            entry.read_manifest(manifest_url=entry.get_index_url(mirror.fetch_url))
        faults.answered.add(mirror.name)
    finally:
        entry.destroy()


def state(mirror, spec, faults, *, read=False):
    """ "available" if a mirror has a binary, its signature trusted where it is a signed mirror, "untrusted", or "".

    With `read` the tarball is read as well, all of it.
    """
    if faults.silent(mirror):
        return ""
    folder = spack.util.url.local_file_path(mirror.fetch_url) or "/" if mirror.fetch_url.startswith(LOCAL) else ""
    if folder and not os.path.isdir(folder):
        is_other = os.path.lexists(folder)
        faults.add(
            mirror, *(("configuration", "it is not a folder") if is_other else ("no_folder", "there is no such folder"))
        )
        return ""
    entry = spack.url_buildcache.URLBuildcacheEntry(mirror.fetch_url, spec, allow_unsigned=not mirror.signed)
    manifest = None
    try:
        manifest = read_manifest(entry)
        faults.answered.add(mirror.name)
        if manifest is None:
            return "untrusted"
        component = spack.url_buildcache.BuildcacheComponent.TARBALL
        blob = manifest.get_blob_records(entry.component_to_media_type(component))[0]
        url = entry.get_blob_url(mirror.fetch_url, blob)
        fault = damage(url, blob) if read else request(url, "HEAD") and ""
        if fault:
            faults.add(mirror, "damaged", fault)
        return "available"
    except Exception as error:
        note_entry(mirror, spec, error, faults, is_listed=manifest is not None)
        return ""
    finally:
        entry.destroy()


def read_manifest(entry):
    """The manifest of a binary; None if its signature is not trusted. Raises what went wrong."""
    with at_most(request_limit_seconds()):
        try:
            return entry.read_manifest()
        except spack.url_buildcache.NoVerifyException:
            # Spack says this also of what is no manifest at all
            unsigned = spack.url_buildcache.URLBuildcacheEntry(entry.mirror_url, entry.spec, allow_unsigned=True)
            unsigned.read_manifest()
            return None


def damage(url, blob):
    """What is wrong with the bytes of a blob; "" if nothing is."""
    digest, size = hashlib.sha256(), 0
    with at_most(LARGE_SECONDS):
        response = spack.util.web.urlopen(urllib.request.Request(url), timeout=seconds())
        for chunk in iter(lambda: response.read(1 << 20), b""):
            digest.update(chunk)
            size += len(chunk)
    if blob.checksum_alg != "sha256" or digest.hexdigest() == blob.checksum:
        return ""
    return f"{os.path.basename(url)} has {size} bytes of {blob.content_length}, and another checksum"


def note_entry(mirror, spec, error, faults, *, is_listed):
    """Keep the fault of a mirror that was asked for a binary, unless it only means that the binary is not there.

    `is_listed` tells whether its manifest was read.
    """
    kind, text = kind_and_text(error)
    if kind == "absent" or (kind == "denied" and not is_listed and means_absent(mirror, faults)):
        return
    if kind == "garbled":
        known = faults.found.get(mirror.name)
        text = f"{spec.name}@{spec.version}: {text}"
        kind = "garbled" if known and known["kind"] == "index" else "entry"
    faults.add(mirror, kind, text)


def means_absent(mirror, faults):
    """Whether a mirror that denies access to a manifest only lacks it: without the right to list, S3 says 403 to that.

    Its index shows whether it lets this user read what it has.
    """
    if mirror.fetch_url.startswith(WITH_CREDENTIALS):
        return True
    if mirror.name not in faults.answered:
        probe(mirror, faults)
    return mirror.name in faults.answered
