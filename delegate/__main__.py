"""The command line of `spack-farm delegate`: the one way out. Errors become one line on stderr and an exit code.

Each verb is imported when it is called: `worker` and `call` need nothing but the standard library.
"""

import argparse
import os
import sys
from typing import Any

from delegate import extra
from delegate.errors import BadRequest, DelegateError

_CODES = """
exit codes:
  0 done
  2 bad request
"""
_CALL_CODES = """
exit codes:
  0 answered
  1 refused by the command; its words are on standard error
  2 bad request: the address, a token, an option
  3 no gateway, no worker, or no free place within --timeout
  4 the computation crashed or can't be run
  124 the deadline passed
"""


_MOST_SECONDS = 10**9
_LAST_LATIN_1 = 255
_OF_CALL = frozenset({"content-length", "prefer", "transfer-encoding"})


class Arguments(argparse.Namespace):
    """What was given; each verb has some of them."""

    verb: str
    config: str | None
    host: str | None
    port: int | None
    socket: str | None
    token_file: str | None
    url: str
    input: str
    output: str
    header: list[str]
    timeout: float


def parser(prog: str = "spack-farm delegate", *, of_worker: bool = True) -> argparse.ArgumentParser:
    """Return the parser; without `of_worker`, the worker's options, which its module adds, are missing."""
    new = argparse.ArgumentParser(
        prog=prog,
        description="Put any computation behind HTTP: a gateway takes requests, workers in other containers compute.",
        epilog=f"example:\n  {prog} gateway --socket /tmp/gateway.sock &\n"
        f"  {prog} worker --socket /tmp/gateway.sock -- sort &\n"
        f"  printf 'b\\na\\n' | {prog} call http://127.0.0.1:8080\n{_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verbs = new.add_subparsers(dest="verb", metavar="VERB", required=True, title="verbs")
    _gateway(verbs)
    _worker(verbs, with_options=of_worker)
    _call(verbs)
    return new


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(of_worker="worker" in words).parse_args(words, namespace=Arguments())
    try:
        return _VERBS[arguments.verb](arguments)
    except DelegateError as error:
        sys.stderr.write(f"spack-farm delegate {arguments.verb}: {error}\n")
        return error.exit_code
    except ModuleNotFoundError as error:
        if not extra.advice(error):
            raise
        sys.stderr.write(f"spack-farm delegate {arguments.verb}: {extra.advice(error)}\n")
        return BadRequest.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output is gone. Python flushes stdout once more when it ends; nothing must fail then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DelegateError.exit_code


def _run_gateway(arguments: Arguments) -> int:
    from delegate import gateway  # noqa: PLC0415  lazily: the other verbs do without its packages
    from delegate.settings import read_settings  # noqa: PLC0415

    given = {key: getattr(arguments, key) for key in ("host", "port", "socket", "token_file")}
    options = {key: value for key, value in given.items() if value is not None}
    return gateway.run(read_settings(arguments.config, os.environ, options))  # noqa: TID251  here it is read


def _run_worker(arguments: Arguments) -> int:
    from delegate import worker  # noqa: PLC0415  lazily, as above

    return worker.run(arguments)


def _run_call(arguments: Arguments) -> int:
    from delegate.addresses import is_header_name  # noqa: PLC0415  lazily, as above
    from delegate.call import call  # noqa: PLC0415  lazily, as above

    if not 0 < arguments.timeout <= _MOST_SECONDS:
        raise BadRequest(f"--timeout is the number of seconds to wait; give more than 0, at most {_MOST_SECONDS}")
    headers = {"Content-Type": "application/octet-stream"}
    for line in arguments.header:
        name, colon, value = line.partition(":")
        is_value = value.isprintable() and all(ord(each) <= _LAST_LATIN_1 for each in value)
        if not colon or not is_header_name(name.strip()) or not is_value:
            raise BadRequest(f"--header {line!r} is no header; give one such as 'Content-Type: text/plain'")
        if name.strip().lower() in _OF_CALL:
            raise BadRequest(f"--header {line!r}: call measures the body and waits for the answer itself; leave it out")
        headers = {key: kept for key, kept in headers.items() if key.lower() != name.strip().lower()}
        headers[name.strip()] = value.strip()
    options: dict[str, Any] = {"headers": headers, "timeout_seconds": arguments.timeout, "output": arguments.output}
    token_file = arguments.token_file or ""
    if arguments.input == "-":
        call(arguments.url, sys.stdin.buffer, token_file=token_file, **options)
        return 0
    try:
        body = open(arguments.input, "rb")  # noqa: PTH123, SIM115  closed below, once it is known to be one
    except OSError as error:
        raise BadRequest(f"{arguments.input} can't be read: {error.strerror}") from error
    with body:
        call(arguments.url, body, token_file=token_file, **options)
    return 0


_VERBS = {"gateway": _run_gateway, "worker": _run_worker, "call": _run_call}


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str, epilog: str
) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _gateway(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    example = "example:\n  spack-farm delegate gateway --socket /run/delegate/gateway.sock --port 8080\n"
    new = _verb(verbs, "gateway", "take requests over HTTP and hand them to workers", example + _CODES)
    new.add_argument("--config", metavar="FILE", help="settings in TOML; delegate/defaults.toml describes all of them")
    new.add_argument("--host", metavar="ADDRESS", help="where requests come from (default: 127.0.0.1)")
    new.add_argument("--port", type=int, metavar="N", help="0 takes a free one (default: 8080)")
    new.add_argument("--socket", metavar="PATH", help="the Unix socket for workers (default: /run/delegate/gateway.sock)")
    new.add_argument("--token-file", metavar="FILE", help="bearer tokens, one a line; needed beyond loopback")


def _worker(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", *, with_options: bool) -> None:
    new = _verb(verbs, "worker", "run a command once for each request of a gateway", "")
    if with_options:
        from delegate import worker  # noqa: PLC0415  lazily: it loads http.client, which --help need not

        new.epilog = worker.EPILOG
        worker.add_options(new)


def _call(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    example = "example:\n  spack-farm delegate call http://127.0.0.1:8080 < request > answer\n"
    new = _verb(verbs, "call", "send a request and print the answer", example + _CALL_CODES)
    new.add_argument("url", metavar="URL", help="http://HOST:PORT; /v1/run is added")
    new.add_argument("--input", default="-", metavar="FILE", help="the request's body (default: standard input)")
    new.add_argument("--output", default="", metavar="FILE", help="appears whole or not at all (default: standard output)")
    new.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated")
    new.add_argument("--token-file", metavar="FILE", help="a bearer token")
    new.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS", help="until the answer (default: 600)")


if __name__ == "__main__":
    sys.exit(main())
