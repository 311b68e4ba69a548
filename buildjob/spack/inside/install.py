"""Runs inside Spack's Python (`spack python install.py HASHES REPORT PIPES ARGUMENT…`): `spack install`, but with changes.

ARGUMENTS are options of `spack install`, `--no-verdict`, and files with concrete specs; HASHES are the DAG hashes, by ',',
of the specs to mark as explicitly installed, or `none`. `spack install` itself marks all that it is given: a dependency
that is installed by itself would never be garbage, and would get a module file where implicit packages have none. And if
Spack can't get a source, the file REPORT has the reasons: {"text", "faults": [{"url", "kind", "text"}]}. The log, where
Spack says it, is also the package's. Where another process dies that was installing a package, Spack does not fail. And a
disk that a failed build has filled stays full for a moment. PIPES names two descriptors, READ,WRITE, or is `none`: with
them a process is left that packs what was installed (`successor.py`). Like `concretize.py` it uses Spack's Python
interface, is written for Spack 1.1, 1.2 and imports of ours only what lies beside it.
Source: Spack 1.1 and 1.2.0.dev0, lib/spack/spack/cmd/install.py (`install_without_active_env`).
"""

import argparse
import json
import os
import sys

import spack.build_environment
import spack.cmd.install
import spack.error
import spack.fetch_strategy
import spack.installer
import spack.package_base
import spack.spec
import spack.util.executable
from spack.llnl.util import tty

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # `spack python` leaves it as it is
import full_disks
import mirror_access
import tarballs

# exit codes of curl(1) where Spack is configured to use it; 22 stands for every HTTP status from 400 on
CURL_KINDS = {
    5: "name", 6: "name", 7: "refused", 18: "disconnected", 22: "unknown", 28: "timeout", 35: "tls", 37: "absent",
    51: "certificate", 52: "disconnected", 56: "disconnected", 58: "configuration", 60: "certificate",
}  # fmt: skip

NO_VERDICT = "--no-verdict"
GIT_HAS_NO_SUCH_REF = 2
GIT_SECONDS = 30


class SourceWatch:
    """Writes why Spack could not get the source of a package. The process that builds is forked, and watched as well."""

    def __init__(self, report):
        self.report = report
        self.faults = []
        self.get, self.fetch = spack.fetch_strategy.URLFetchStrategy._fetch_from_url, spack.package_base.PackageBase.do_fetch

        def get(strategy, url):  # a bound method of ours would not get the strategy
            return self.watched_get(strategy, url)

        def fetch(package, *rest, **options):
            return self.watched_fetch(package, *rest, **options)

        for strategy in spack.fetch_strategy.all_strategies:
            if issubclass(strategy, spack.fetch_strategy.VCSFetchStrategy):
                strategy.fetch = self.watched_checkout(strategy.fetch)
        spack.fetch_strategy.URLFetchStrategy._fetch_from_url = get
        spack.package_base.PackageBase.do_fetch = fetch

    def watched_get(self, strategy, url):
        try:
            return self.get(strategy, url)
        except Exception as error:
            kind, text = mirror_access.kind_and_text(error)
            if strategy._curl:  # Spack says of it only that it failed
                kind = CURL_KINDS.get(strategy._curl.returncode, "unknown")
            self.faults.append({"url": url, "kind": kind, "text": text})
            raise

    def watched_checkout(self, original):
        def fetch(strategy):
            try:
                return original(strategy)
            except Exception as error:  # of git, svn, hg …: their exit codes do not say what went wrong
                kind = "program" if isinstance(error, spack.util.executable.CommandNotFoundError) else "unknown"
                kind = "ref" if kind == "unknown" and lacks_ref(strategy) else kind
                self.faults.append({"url": str(strategy.url), "kind": kind, "text": mirror_access.text_of(error, "")})
                raise

        return fetch

    def watched_fetch(self, package, *rest, **options):
        try:
            return self.fetch(package, *rest, **options)
        except Exception as error:  # of any kind: some of them are not Spack's own
            if isinstance(error, spack.fetch_strategy.ChecksumError):
                self.faults.append(
                    {"url": getattr(package.stage[0].fetcher, "url", ""), "kind": "checksum", "text": str(error.message)}
                )
            with open(self.report, "w", encoding="utf-8") as file:
                json.dump({"text": f"{type(error).__name__}: {error}", "faults": self.faults}, file)
            raise


def lacks_ref(strategy):
    """Whether a git server answers and has no such branch or tag: only `git ls-remote` has an exit code for that."""
    ref = getattr(strategy, "branch", None) or getattr(strategy, "tag", None)
    if not ref or not isinstance(strategy, spack.fetch_strategy.GitFetchStrategy):
        return False
    try:
        strategy.git(
            "ls-remote", "--exit-code", strategy.url, ref,
            fail_on_error=False, output=os.devnull, error=os.devnull, timeout=GIT_SECONDS,
            extra_env={"GIT_TERMINAL_PROMPT": "0"},  # a server that asks for a password has not answered
        )  # fmt: skip
    except Exception:  # of any kind: the server is no wiser
        return False
    return strategy.git.returncode == GIT_HAS_NO_SUCH_REF


def forget_released_locks():
    """Let Spack lock a package anew where it has released its lock and tries again.

    If a process dies that is installing the package, just between another's try to write and its try to read, that other one
    gets the lock for reading, finds nothing installed, releases the lock and tries again. Spack's table still says then that
    the lock is held, and it fails with a LockUpgradeError.
    """
    requeue = spack.installer.PackageInstaller._requeue_task

    def requeue_unlocked(installer, task, *rest):
        _, lock = installer.locks.get(task.pkg_id, ("", None))
        if lock is not None and not lock._reads and not lock._writes:
            del installer.locks[task.pkg_id]
        requeue(installer, task, *rest)

    spack.installer.PackageInstaller._requeue_task = requeue_unlocked


def keep_full_disks_for_a_moment():
    """Let the agent see a disk that a failed build has filled, before Spack deletes what the build left."""
    remove_prefix = spack.package_base.PackageBase.remove_prefix

    def remove_later(package):
        full_disks.wait_if_full(package.prefix)
        remove_prefix(package)

    spack.package_base.PackageBase.remove_prefix = remove_later


def leave_the_verdict_out():
    """Let Spack show the lines of a log that look like errors without the words that blame them.

    It says them of a memory kill, too, and by these words the logs of pipelines are sorted. The agent's last line says why a
    build failed, with the words of its cause.
    """
    original = spack.build_environment.write_log_summary

    def write_log_summary(out, log_type, *rest, **options):
        original(out, "package" if log_type == "build" else log_type, *rest, **options)

    spack.build_environment.write_log_summary = write_log_summary


def main(hashes, report, pipes, *arguments):
    descriptors = [] if pipes == "none" else [int(each) for each in pipes.split(",")]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # no program of the build is to have it
    mirror_access.bound_s3()
    forget_released_locks()
    keep_full_disks_for_a_moment()
    tarballs.unpack_once()
    if NO_VERDICT in arguments:
        leave_the_verdict_out()
    if report != "none":
        SourceWatch(report)
    parser = argparse.ArgumentParser()
    spack.cmd.install.setup_parser(parser)
    args = parser.parse_args([argument for argument in arguments if argument != NO_VERDICT])
    args.verbose = False  # an option of `spack` itself, not of `install`
    tty.set_verbose(args.install_verbose)
    # not by Spack's parser of specs, which refuses two versions of a package in one call where the concretizer would
    specs = [spack.spec.Spec.from_specfile(path) for path in args.spec]
    options = spack.cmd.install.install_kwargs_from_args(args)
    if args.overwrite:
        options["overwrite"] = [spec.dag_hash() for spec in specs]
    explicit = set() if hashes == "none" else set(hashes.split(","))
    packages = [spec.package for spec in specs]
    if is_event_loop():
        import event_loop_installer

        event_loop_installer.install(packages, explicit, options)
    else:
        spack.installer.PackageInstaller(packages, explicit=explicit, **options).install()
    if descriptors:
        import successor

        successor.leave(*descriptors)


def is_event_loop():
    """Whether `spack install` would use the new installer. In Spack 1.1 it lacks most of the options, so it is not used."""
    if spack.spack_version_info[:2] < (1, 2):
        return False
    return spack.config.get("config:installer", "new") == "new"


if __name__ == "__main__":  # not where `multiprocessing` imports this file again for the process that builds
    main(*sys.argv[1:])
