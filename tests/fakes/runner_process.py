"""A Runner in a process of its own, which can be killed as a manager is: the program, and its start from a test."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.runner import Payload, Runner

_CHECKOUT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def runner_process(
    runner: Runner, job: Payload, *, when: str = "\nbegun\n"
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Yield the process of such a Runner, and the process id of its driver, once the job's log has a text."""
    sent = json.dumps([runner.driver, runner.arguments, runner.environment, job, when])
    argv = [sys.executable, "-m", __name__]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_CHECKOUT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(sent.encode())
            process.stdin.close()
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def main() -> None:
    """Run the job from standard input; print the driver's process id when the job has begun."""
    driver, arguments, environment, job, when = json.load(sys.stdin)
    runner = Runner(driver, arguments, environment=environment)

    def report() -> None:
        assert runner.process is not None
        sys.stdout.write(f"{runner.process.pid}\n")
        sys.stdout.flush()

    runner.when(when, report)
    runner.run(job)


if __name__ == "__main__":
    main()
