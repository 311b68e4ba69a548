"""The backend `local`: the verbs with scripts as plain processes on the manager, for a laptop. Never a fallback.

Requests are read and rejected as for a pod; there is no isolation and no limit. Scripts have a pod's environment and nothing
of the Runner's. Each script has a session of its own and a mark in its environment, by which cleanup finds its leftovers.
"""

import contextlib
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

from executor import errors, usage
from executor.attempt import Attempt, save_attempt
from executor.build_stage import container_of
from executor.call import Call, read_script
from executor.counters import Counters
from executor.environment import Invocation
from executor.job import read_job
from executor.judge import judge_script
from executor.log import write_all
from executor.notices import Notices
from executor.plan import make_plan
from executor.settings import Settings
from executor.size_table import measured_size
from executor.sizes import PastUse
from executor.stream_state import ScriptEnd
from executor.verdict import Verdict

BACKEND = "local"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARK = "SPACK_FARM_ATTEMPT"
_KILL_SECONDS = 5.0


def prepare(call: Call) -> None:
    """Create the folders that a pod would have, and log what this backend means.

    Raises RequestError for what a pod would be refused for, SettingsError if a folder cannot be created.
    """
    invocation, settings, job_log = call.invocation, call.settings, call.job_log
    job = read_job(invocation.response_file)
    past = PastUse(measured=measured_size(settings, invocation.variables, job_log))
    planned = make_plan(
        job, settings, invocation.variables, namespace=BACKEND, attempt=invocation.attempt, past=past
    )  # fmt: skip
    job_log.all(planned.notes, planned.warnings)
    job_log.warning(
        f'this job runs as plain processes on {os.uname().nodename} (backend = "local"): without isolation and limits'
    )
    for folder in (settings.builds_dir, settings.cache_dir, str(invocation.folder / "home")):
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise errors.SettingsError(f"{folder} cannot be created: {error}; set builds_dir and cache_dir") from error
    attempt = Attempt(pod=planned.plan.name, namespace="", uid=BACKEND, backend=BACKEND, shell=_shell())
    save_attempt(attempt, invocation.folder)


def run(call: Call) -> Verdict:
    """Run one script and return what its end means. Raises Terminated or RunnerGone once it has ended."""
    attempt = call.attempt
    assert attempt is not None, "the attempt has named this backend"
    began, began_monotonic = time.time(), time.monotonic()
    with Notices(call.invocation.runner_process) as notices:
        end = _run(read_script(call), attempt, call.invocation, call.settings, notices)
    usage.report(end, attempt, call, began=began, wall_seconds=time.monotonic() - began_monotonic)
    container = container_of(call.stage)
    return judge_script(end, stage=call.stage, container=container, attempt=attempt, settings=call.settings)


def cleanup(call: Call) -> None:
    """Stop what the attempt's scripts have left running."""
    _stop_leftovers(call.invocation)


def _run(content: bytes, attempt: Attempt, invocation: Invocation, settings: Settings, notices: Notices) -> ScriptEnd:
    """Run a script, pass its output on unchanged, and return its end. Raises Terminated or RunnerGone after its end."""
    script = invocation.folder / f"script-{os.getpid()}"
    script.touch(0o600)
    script.write_bytes(content)
    environment = {"PATH": _PATH, "HOME": str(invocation.folder / "home"), _MARK: invocation.attempt}
    with script.open("rb") as source:
        process = subprocess.Popen(
            [attempt.shell, f"/proc/self/fd/{source.fileno()}"], pass_fds=[source.fileno()], env=environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    script.unlink()
    try:
        _pass_on(process, settings, notices)
    except BaseException as error:
        _signal_group(process.pid, signal.SIGKILL)
        if isinstance(error, errors.RunnerGone | BrokenPipeError):
            _stop_leftovers(invocation)  # there will be no cleanup
        raise
    finally:
        code = process.wait()
    if notices.terminated_at is not None:
        raise errors.Terminated
    unknown = Counters()
    return ScriptEnd(
        exit_code=code if code >= 0 else 128 - code,
        before=unknown,
        after=unknown,
        working_set_peak_bytes=0,
        log_is_whole=True,
    )


def _stop_leftovers(invocation: Invocation) -> None:
    """Stop every process with the attempt's mark: TERM, then KILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _KILL_SECONDS
        while left := _leftovers(invocation.attempt):
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)


def _pass_on(process: subprocess.Popen[bytes], settings: Settings, notices: Notices) -> None:
    """Pass output on until the script's shell has ended: its leftovers may keep the pipe open."""
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    term_sent = kill_sent = False
    over = False
    with process.stdout:
        while True:
            over = over or process.poll() is not None
            ready = select.select([pipe, notices.fileno()], [], [], 0 if over else 0.05)[0]
            if notices.fileno() in ready:
                notices.clear()
            content = os.read(pipe, 1 << 16) if pipe in ready else b""
            write_all(1, content)
            if over and not content:
                return
            if pipe in ready and not content:  # the script has closed its output: only its end is left to wait for
                process.wait()
            notices.runner.check()
            if notices.terminated_at is None:
                continue
            if not term_sent:
                term_sent = True
                _signal_group(process.pid, signal.SIGTERM)
            elif not kill_sent and time.monotonic() - notices.terminated_at > settings.cancel_seconds:
                kill_sent = True
                _signal_group(process.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _leftovers(attempt: str) -> list[int]:
    """Return the processes that carry the attempt's mark."""
    mark = f"{_MARK}={attempt}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in entry.read_bytes().split(b"\0"):
                found.append(int(entry.parent.name))
    return found


def _shell() -> str:
    """Return the shell of scripts. Raises SettingsError if there is none."""
    shell = shutil.which("bash", path=_PATH) or shutil.which("sh", path=_PATH)
    if shell is None:
        raise errors.SettingsError(f"no shell in {_PATH}")
    return shell
