"""What a verb of `spack-farm publish` works with, opened from its arguments: the mirror, the signing key, who is trusted.

Everything is loaded when it is needed: a folder costs no boto3, an unsigned mirror no GnuPG.
"""

import concurrent.futures
import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from buildjob.cli.publish_options import Arguments, connections_of, is_on
from buildjob.errors import PublishError, RequestError

if TYPE_CHECKING:
    from buildjob.buildcache import index, signing
    from buildjob.buildcache.storage.store import Store

_MOST_PROCESSES = 4
"""Then the server and the network are what is waited for; each takes about 20 MiB."""


def open_mirror(arguments: Arguments, url: str) -> "Store":
    """Return the storage of a mirror. Raises RequestError if nothing can be written to such a URL."""
    from buildjob.buildcache.storage.access import Access  # noqa: PLC0415  as below
    from buildjob.buildcache.storage.open import open_store  # noqa: PLC0415  --help need not load it

    return open_store(
        url,
        Access(
            endpoint_url=arguments.endpoint_url,
            region=arguments.region,
            profile=arguments.profile,
            ca_file=arguments.ca_file,
            path_style=is_on(arguments.path_style, "--path-style"),
            connections=connections_of(arguments),
        ),
    )


def processes_for(connections: int) -> int:
    """Return how many processes a large push or verification takes: one for each core that there is for it, four at most."""
    from buildjob.measure.cgroup_position import cpu_limit_cores, read_position  # noqa: PLC0415  as above

    position = read_position(Path("/proc"))
    limit = (cpu_limit_cores(position) if position else None) or _MOST_PROCESSES
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1
    return max(1, min(cores, round(limit), connections, _MOST_PROCESSES))


def indexing(arguments: Arguments) -> "index.Options":
    """Return how the index is to be updated."""
    from buildjob.buildcache import index  # noqa: PLC0415

    return index.Options(
        workers=connections_of(arguments),
        scratch=Path(arguments.scratch) if arguments.scratch else None,
        rebuild=getattr(arguments, "rebuild", False),
        single_writer=getattr(arguments, "single_writer", False),
    )


@contextlib.contextmanager
def signer(arguments: Arguments) -> Iterator["signing.Signer"]:
    """Give the signer; the key lives in a home of its own, in memory where there is such a place, and goes with it."""
    from buildjob.buildcache import signing  # noqa: PLC0415

    file, command = arguments.signing_key_file, arguments.signing_key_command
    if bool(file) == bool(command):
        raise RequestError("give one of --signing-key-file and --signing-key-command")
    passphrase = Path(arguments.signing_passphrase_file) if arguments.signing_passphrase_file else None
    if passphrase and not passphrase.is_file():
        raise RequestError(f"--signing-passphrase-file {passphrase}: there is no such file")
    with signing.throw_away_home() as home:
        yield signing.Signer(home, Path(file) if file else _key_of(command or ""), passphrase)


@contextlib.contextmanager
def signer_meanwhile(arguments: Arguments) -> Iterator[Callable[[], "signing.Signer"]]:
    """Give what waits for the signer, which gpg makes while the caller loads boto3 and looks at the mirror."""
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(1) as pool:
        soon = pool.submit(lambda: stack.enter_context(signer(arguments)))

        def wait() -> "signing.Signer":
            pool.shutdown()  # a large push forks, which it can't while there is another thread
            return soon.result()

        yield wait


def _key_of(command: str) -> bytes:
    done = subprocess.run(["/bin/sh", "-c", command], check=False, stdout=subprocess.PIPE)
    if done.returncode:
        name = shlex.split(command, comments=True)[:1]
        raise PublishError(f"--signing-key-command: {' '.join(name)} … ended with {done.returncode}; its words are above")
    return done.stdout


@contextlib.contextmanager
def trust(files: Sequence[str]) -> Iterator["signing.TrustHome"]:
    """Give a home that trusts the public keys in these files. Raises RequestError if a file is missing."""
    from buildjob.buildcache import signing  # noqa: PLC0415

    with signing.throw_away_home() as folder:
        home = signing.TrustHome(folder)
        for file in files:
            if not Path(file).exists():
                raise RequestError(f"--trust {file}: there is no such file")
            home.trust(signing.public_keys(Path(file)))
        yield home
