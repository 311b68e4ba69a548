"""Opens what a verb of `spack-farm publish` works with, from its arguments: build cache, signing key, trusted keys."""

import concurrent.futures
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from buildjob.buildcache import index, presence, signing
from buildjob.buildcache.gpg.key_source import KeySource, find_source
from buildjob.buildcache.inventory import Fault
from buildjob.buildcache.storage.access import Access
from buildjob.buildcache.storage.open import open_store
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.buildcache.storage.store import Store
from buildjob.cli.publish_options import Arguments, connections_of, is_on
from buildjob.errors import PublishError, RequestError
from buildjob.log import Log
from buildjob.measure.cgroup_position import cpu_limit_cores, read_position
from buildjob.report.format import format_count
from status_line.progress import Progress
from status_line.text import counted

SOME_LEFT_OUT = 1
"""Exit code of a verb that did its work, but not on everything it came upon."""
_MOST_PROCESSES = 4
"""More would wait for the server and the network; each takes about 20 MiB."""


def open_mirror(
    arguments: Arguments, url: str, log: Log, *, retries: RetryPolicy | None = None, answer_seconds: float = 60
) -> Store:
    """Return the storage of a build cache, which need not exist. Raises RequestError for an address that can't be one."""
    if arguments.ca_file and not Path(arguments.ca_file).is_file():
        raise RequestError(f"--ca-file {arguments.ca_file}: there is no such file")
    store = open_store(
        url,
        Access(
            endpoint_url=arguments.endpoint_url,
            region=arguments.region,
            profile=arguments.profile,
            ca_file=arguments.ca_file,
            path_style=is_on(arguments.path_style, "--path-style"),
            connections=connections_of(arguments),
            answer_seconds=answer_seconds,
        ),
        notice=log.note,
        retries=retries,
    )
    if presence.is_file(store):
        raise RequestError(f"{store.url}: {presence.fault_of(presence.Presence.NOT_A_FOLDER)}")
    return store


def progress_of(doing: str, log: Log, *, total: int | None = None) -> Progress:
    """Return what shows how far a verb is with the binaries."""
    say = None if log.is_quiet else log.note
    return Progress(doing, unit=("binary", "binaries"), screen=log.screen, say=say, total=total)


def retries(progress: Progress) -> list[str]:
    """Return how often requests were sent again, for the last line; nothing if none was."""
    return [counted(progress.retries, "retry", "retries")] if progress.retries else []


def open_existing(arguments: Arguments, url: str, log: Log, *, retries: RetryPolicy | None = None) -> Store:
    """Return the storage of a build cache. Raises RequestError if there is none: a wrong address must not make one."""
    store = open_mirror(arguments, url, log, retries=retries)
    presence.require(store)
    return store


def log_left_out(log: Log, left_out: Sequence[Fault]) -> int:
    """Print what was left out, one object a line; return the exit code that says whether there was any."""
    for fault in left_out:
        sys.stdout.write(f"{fault.key}: {fault.text}\n")
    if left_out:
        log.warning(f"left out: {format_count(len(left_out), 'object')} that can't be read as manifests of binaries")
    return SOME_LEFT_OUT if left_out else 0


def processes_for(connections: int) -> int:
    """Return how many processes a large push or verification takes: one for each core that it may use, four at most."""
    position = read_position(Path("/proc"))
    limit = (cpu_limit_cores(position) if position else None) or _MOST_PROCESSES
    return max(1, min(len(os.sched_getaffinity(0)), round(limit), connections, _MOST_PROCESSES))


def index_options(arguments: Arguments) -> index.IndexOptions:
    """Return how the index is to be updated."""
    if arguments.scratch and not os.path.isdir(arguments.scratch):  # noqa: PTH112  of any name
        raise RequestError(f"--scratch {arguments.scratch}: there is no such folder")
    return index.IndexOptions(
        workers=connections_of(arguments),
        scratch=Path(arguments.scratch) if arguments.scratch else None,
        rebuild=arguments.rebuild,
        single_writer=arguments.single_writer,
    )


def read(file: str, option: str) -> bytes:
    """Return the content of a file that an option names. Raises RequestError, naming both."""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise RequestError(f"{option} {file}: {error.strerror}") from error


@contextlib.contextmanager
def signer(arguments: Arguments) -> Iterator[signing.Signer]:
    """Give the signer. Its key lives in a GnuPG home of its own, in memory if possible, which is deleted afterwards."""
    passphrase = _source(arguments, "--signing-passphrase-file", arguments.signing_passphrase_file)
    with signing.signer(_signing_key(arguments), passphrase) as made:
        yield made


def _signing_key(arguments: Arguments) -> KeySource:
    key = _source(arguments, "--signing-key-file", arguments.signing_key_file)
    if bool(key) == bool(arguments.signing_key_command):
        raise RequestError("give one of --signing-key-file and --signing-key-command")
    return key or KeySource(title="--signing-key-command", held=_key_of(arguments.signing_key_command or ""))


def _source(arguments: Arguments, option: str, text: str | None) -> KeySource | None:
    if option in arguments.held:
        return KeySource(title=option, held=arguments.held[option])
    holds = "passphrase" if option == "--signing-passphrase-file" else "key"
    return find_source(text, option, holds=holds) if text else None


@contextlib.contextmanager
def signer_in_background(arguments: Arguments) -> Iterator[Callable[[], signing.Signer]]:
    """Give a function that returns the signer; gpg imports the key meanwhile."""
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(1) as pool:
        # A signal in the midst of the thread's start would leave an unknown thread, and the key's home with it.
        # That thread starts gpg, which must not inherit this.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))

        def make() -> signing.Signer:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            return stack.enter_context(signer(arguments))

        try:
            made = pool.submit(make)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)

        def wait() -> signing.Signer:
            pool.shutdown()  # a large push forks, which it can't while there is another thread
            return made.result()

        yield wait


def _key_of(command: str) -> bytes:
    done = subprocess.run(["/bin/sh", "-c", command], check=False, stdout=subprocess.PIPE)
    if done.returncode:
        name = shlex.split(command, comments=True)[:1]
        raise PublishError(f"--signing-key-command: {' '.join(name)} … ended with {done.returncode}; its output is above")
    if not done.stdout.strip():
        raise RequestError("--signing-key-command: it printed nothing")
    return done.stdout


@contextlib.contextmanager
def trust(files: Sequence[str]) -> Iterator[signing.TrustHome]:
    """Give a home that trusts the public keys in these files. Raises RequestError if a file is missing."""
    with signing.throw_away_home() as folder:
        home = signing.TrustHome(folder)
        for file in files:
            # the agent names the GnuPG home that Spack uses; all others name files
            source = Path(file) if Path(file).is_dir() else find_source(file, "--trust").content
            home.trust(signing.public_keys(source, title=f"--trust {file}", secret_allowed=False))
        yield home
