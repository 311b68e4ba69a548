"""Runs inside Spack's own Python (`spack python standalone_tests.py HASH STAGE FAIL_FAST SECONDS`): `spack test run`.

STAGE is the folder for the logs, FAIL_FAST `true` or `false`, SECONDS the time for all of them, or `none`: Spack's own limit
counts from the tests' end on. The last line of its output is {"log": path, "tests": [{"name", "status", "seconds",
"command", "output"}], "fault": text}; `fault` says why tests could not be run to their end. It waits for a line on its
input, and does nothing without it.
Written for Spack 1.1, 1.2.
Source: Spack 1.1, lib/spack/spack/cmd/test.py (`test_run`), lib/spack/spack/reporters/extract.py.
"""

import html
import json
import os
import signal
import sys

import spack.config
import spack.error
import spack.install_test
import spack.reporters.extract
import spack.store

LONGEST_OUTPUT = 20_000
MOST_PARTS = 500
COMPLETED = "] Completed testing"
"""Ends the line that Spack writes when its process has run the tests, or the first one that failed."""
EXIT_SECONDS = 5
"""How long the process that tests may take to exit when its tests are over, or the time for them is."""


def main(dag_hash, stage, fail_fast, seconds):
    if not sys.stdin.readline():
        return
    spack.config.set("config:test_stage", stage, scope="command_line")
    if fail_fast == "true":
        spack.config.set("config:fail_fast", True, scope="command_line")
    (spec,) = spack.store.STORE.db.get_by_hash(dag_hash)
    suite = spack.install_test.TestSuite([spec])
    suite.ensure_stage()
    fault, slow = "", []

    def stop(_number, _frame):
        slow.append(f"not ended within {seconds} s, and stopped")
        raise spack.error.SpackError(slow[0])  # the suite takes it for a failure, and stops the process that tests

    signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0 if seconds == "none" else int(seconds))
        suite(fail_first=False, timeout=None if seconds == "none" else EXIT_SECONDS)
    except spack.install_test.TestSuiteFailure:
        pass  # the tests that failed are in the log
    except (spack.error.SpackError, OSError) as error:
        fault = str(error).strip() or type(error).__name__
    signal.setitimer(signal.ITIMER_REAL, 0)
    log = suite.log_file_for_spec(suite.specs[0])
    lines = lines_of(log)
    tests = parts(spec.name, lines)
    if suite.counts[spack.install_test.TestStatus.FAILED] and not any(COMPLETED in line for line in lines):
        # the process has ended amid a test, of which the log says no more: Spack's reader takes that for a success
        tests = tests or [{"name": spec.name, "output": fault}]
        tests[-1]["status"] = "failed"
    sys.stdout.write("\n" + json.dumps({"log": str(log), "tests": tests, "fault": (slow or [fault])[0]}) + "\n")


def lines_of(log):
    """The lines of the log; none for a package without tests."""
    if not os.path.exists(log):
        return []
    with open(log, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


def parts(name, lines):
    """The tests that the log names, as Spack's own reports have them."""
    if not lines:
        return []
    found = spack.reporters.extract.extract_test_parts(name, lines)
    return [
        {
            "name": str(part["name"] or name),
            "status": str(part["status"] or "unknown"),
            "seconds": float(part["elapsed"] or 0.0),
            "command": str(part["command"] or ""),
            # the reader escapes what it takes from the log, for a template of XML
            "output": html.unescape(str(part["output"] or ""))[-LONGEST_OUTPUT:],
        }
        for part in found[:MOST_PARTS]
    ]


if __name__ == "__main__":  # not where `multiprocessing` imports this file again for the process that tests
    main(*sys.argv[1:])
