"""`spack-farm publish push`: sign what Spack wrote unsigned into a folder, upload it, and update the index."""

import contextlib
import sys
from pathlib import Path

import msgspec

from buildjob import options
from buildjob.buildcache import layout, push, signing
from buildjob.buildcache.storage.open import load_for
from buildjob.buildcache.storage.retry import RetryPolicy
from buildjob.cli import publish_recipes as recipes
from buildjob.cli.publish_inputs import index_options, open_mirror, processes_for, progress_of, retries, signer_in_background
from buildjob.cli.publish_options import Arguments, connections_of
from buildjob.errors import RequestError
from buildjob.log import Log
from buildjob.prestarted_input import PrestartedInput
from buildjob.report.format import format_bytes, format_count
from status_line.progress import Progress


def wait_for_environment(arguments: Arguments) -> bool:
    """Load what a push needs, then wait for one line of JSON on standard input and take it on as environment.

    Returns False if the input ends without a line: the push is not needed. The agent starts the process before it has the
    credentials to give. Raises RequestError if the line is something else.
    """
    load_for(arguments.mirror, with_boto3=arguments.prestarted == "boto3")
    if not arguments.unsigned:
        import gnupg  # noqa: PLC0415  only if something is signed

        del gnupg
    line = sys.stdin.readline()
    if not line:
        return False
    try:
        given = msgspec.json.decode(line, type=PrestartedInput)
        options.take_on(given.environment)
        arguments.held = given.held
    except (msgspec.MsgspecError, ValueError) as error:  # of a name with "=" or a NUL; the line has secrets: not shown
        raise RequestError("--prestarted: the line on standard input is not an environment in JSON") from error
    return True


def run(arguments: Arguments, log: Log) -> int:
    """Push; return the exit code."""
    folder = Path(arguments.unsigned_folder)
    if not folder.is_dir():
        raise RequestError(f"{folder}: there is no such folder")
    if arguments.unsigned and (arguments.signing_key_file or arguments.signing_key_command):
        raise RequestError("--unsigned and a signing key exclude each other")
    redistribution = recipes.redistribution(arguments, folder, log)  # before a key is read: recipes are code
    with contextlib.ExitStack() as stack:
        # gpg imports the key while this process loads boto3 and asks what the build cache has
        signs = not arguments.unsigned and not arguments.dry_run
        signer = stack.enter_context(signer_in_background(arguments)) if signs else None
        progress = stack.enter_context(progress_of("uploading", log))
        store = open_mirror(arguments, arguments.mirror, log, retries=RetryPolicy(retried=progress.retried))
        planned = push.plan(
            folder,
            store,
            replace=arguments.replace,
            signs=signs,
            is_changed=(lambda text: signer().is_changed(text)) if signer else lambda _: False,
            workers=connections_of(arguments),
            redistribution=redistribution,
        )
        _log_must_stay(log, planned)
        if planned.there:
            log.note(f"{_binaries(len(planned.there))} in the build cache already (--replace uploads again)")
        for key in planned.broken:
            log.warning(f"{store.url}/{key}: Spack would not take what is there; it is uploaded again")
        if arguments.dry_run:
            return _show(planned, store.url, log)
        sign: push.Sign = lambda text, _where: text  # noqa: E731  typed here
        if signer:
            sign = _sign_with(signer())
        pushed = push.push(planned, store, sign=sign, options=_options(arguments, progress))
    if pushed.is_new:
        log.note(f"{store.url}: there was no build cache; this push has made one")
    if planned.binaries:
        facts = [_binaries(len(pushed.manifest_keys)), format_bytes(pushed.bytes), *retries(progress)]
        log.summary(f"uploaded {', '.join(facts)}, to {store.url}")
    _log_index(log, pushed)
    if arguments.json:
        shown = {"manifests": [f"{store.url}/{key}" for key in pushed.manifest_keys], "bytes": pushed.bytes}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    return 0


def _log_must_stay(log: Log, planned: push.PushPlan) -> None:
    if planned.must_stay:
        names = [key.rpartition("/")[2].removesuffix(layout.MANIFEST_END) for key in planned.must_stay[:5]]
        more = f" and {len(planned.must_stay) - 5} more" if len(planned.must_stay) > 5 else ""
        log.note(f"not pushed, since they must not be redistributed (--private): {', '.join(names)}{more}")


def _show(planned: push.PushPlan, url: str, log: Log) -> int:
    for binary in planned.binaries:
        sys.stdout.write(f"{url}/{binary.manifest_key}\n")
    log.summary(f"would upload {_binaries(len(planned.binaries))}, {format_bytes(planned.bytes)} at most")
    return 0


def _sign_with(signer: signing.Signer) -> push.Sign:
    return lambda text, where: signer.clearsign(text, where=where)


def _options(arguments: Arguments, progress: Progress) -> push.PushOptions:
    connections = connections_of(arguments)
    return push.PushOptions(
        workers=connections,
        processes=processes_for(connections),
        update_index=not arguments.no_index,
        indexing=index_options(arguments),
        progress=progress,
    )


def _log_index(log: Log, pushed: push.Pushed) -> None:
    if pushed.index is None:
        log.note("the index was not updated; publish index does it")
        return
    if pushed.index.left_out:
        objects = format_count(len(pushed.index.left_out), "object")
        log.warning(f"{objects} that can't be read as manifests; publish index --rebuild names them")
    if pushed.index.replaced:
        log.note(f"{_binaries(pushed.index.added)} added to the index")
    else:
        log.note("the index is up to date")


def _binaries(number: int) -> str:
    return format_count(number, "binary", "binaries")
