"""A GitLab Runner for tests: what `gitlab-runner run-single` does with a custom executor, without GitLab.

Written from gitlab-runner 19.4: executors/custom, common/build.go, helpers/process/killer.go, shells/bash.go. Cache and
artifact stages call a `gitlab-runner` in the container, as the real ones do. Left out: masking, timestamps, stage retries.
"""

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Payload = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of the driver."""

    stage: str
    """config, prepare, run or cleanup."""
    script: str
    """For run: the build stage."""
    code: int
    """The exit code; -N for signal N."""
    seconds: float
    stdout: bytes
    stderr: bytes


@dataclasses.dataclass
class Outcome:
    """What GitLab would be told."""

    state: str = ""
    reason: str = ""
    exit_code: int = 0
    trace: bytes = b""
    calls: list[Call] = dataclasses.field(default_factory=list)

    @property
    def stages(self) -> list[str]:
        """The calls in order, run stages by their names."""
        return [call.script or call.stage for call in self.calls]

    @property
    def text(self) -> str:
        """The job log."""
        return self.trace.decode("utf-8", "replace")


class BuildError(Exception):
    """The job's own failure."""

    def __init__(self, reason: str, code: int = 0) -> None:
        super().__init__(f"{reason} {code}")
        self.reason, self.code = reason, code


class SystemFailure(Exception):  # noqa: N818 (the Runner's word)
    """The Runner's failure."""


class Canceled(Exception):  # noqa: N818 (the Runner's word)
    """The context of a call was canceled."""


def payload(script: list[str], *, after: list[str] | None = None, **changes: Any) -> Payload:
    """Return a job's payload; `variables` is a mapping of public ones, every other change replaces a key."""
    variables = {"CI_JOB_ID": "101", "CI_PIPELINE_ID": "77", "GIT_STRATEGY": "none", "CI_JOB_URL": "http://gitlab/jobs/101"}
    variables |= changes.pop("variables", {})
    steps = [{"name": "script", "script": script, "timeout": 3600, "when": "on_success", "allow_failure": False}]
    steps += changes.pop("steps", [])
    if after is not None:
        steps.append({"name": "after_script", "script": after, "timeout": 300, "when": "always", "allow_failure": True})
    listed = [
        {"key": key, "value": value, "public": True, "masked": False, "file": False} for key, value in variables.items()
    ]
    listed += changes.pop("secret_variables", [])
    job: Payload = {
        "id": 101,
        "token": "jobtok-101",
        "job_info": {
            "name": "build foo",
            "stage": "build",
            "pipeline_id": 77,
            "project_id": 4,
            "project_full_path": "grp/proj",
        },
        "git_info": {"repo_url": "http://127.0.0.1/grp/proj.git", "ref": "main", "sha": "0" * 40, "before_sha": "0" * 40},
        "runner_info": {"timeout": 3600},
        "variables": listed,
        "steps": steps,
        "image": {"name": "localhost/busybox:1", "entrypoint": [""]},
        "services": [],
        "artifacts": [],
        "cache": [],
        "credentials": [],
        "dependencies": [],
        "features": {"trace_sections": True},
    }
    return job | changes


class Runner:
    """Runs one job after another through a driver. Settings of the Runner are parameters, as in its config.toml."""

    def __init__(
        self,
        driver: list[str],
        arguments: list[str],
        *,
        environment: dict[str, str] | None = None,
        graceful_kill_seconds: float = 60,
        force_kill_seconds: float = 5,
        pause_seconds: float = 0.05,
        prepare_seconds: float = 3600,
    ) -> None:
        self._driver = driver
        self._arguments = arguments
        self._environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | (environment or {})
        self._graceful_kill_seconds = graceful_kill_seconds
        self._force_kill_seconds = force_kill_seconds
        self._pause_seconds = pause_seconds
        self._prepare_seconds = prepare_seconds
        self._watchers: list[tuple[bytes, Callable[[], object]]] = []
        self._lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        """The driver call that runs now."""
        self.folder = Path()
        """The attempt's, which the driver sees as $TMPDIR."""
        self._root, self._script = threading.Event(), threading.Event()

    def when(self, text: str, action: Callable[[], object]) -> None:
        """Do something, once, in another thread, when the trace holds the text."""
        self._watchers.append((text.encode(), action))

    def cancel(self, *, graceful: bool = True) -> None:
        """Cancel as GitLab does: gracefully only the script, else everything."""
        self._script.set()
        if not (graceful and self._in_user_steps):
            self._root.set()

    def run(self, job: Payload) -> Outcome:
        """Run a job to its end."""
        self._outcome, self._job = Outcome(), job
        self._root, self._script = threading.Event(), threading.Event()
        self._in_user_steps = self._timed_out = False
        self._status = "running"
        timer = threading.Timer(job["runner_info"]["timeout"], self.time_out)
        timer.daemon = True
        timer.start()
        try:
            self._build()
            self._outcome.state = "success"
        except BuildError as error:
            self._outcome.state, self._outcome.reason, self._outcome.exit_code = "failed", error.reason, error.code
        except SystemFailure as error:
            self._outcome.state, self._outcome.reason = "failed", "runner_system_failure"
            self._write(f"ERROR: Job failed (system failure): {error}\n".encode())
        except Canceled:
            self._outcome.state, self._outcome.reason = "failed", "job_canceled"
        finally:
            timer.cancel()
        return self._outcome

    def time_out(self) -> None:
        """End the job as its timeout does."""
        self._timed_out = True
        self._script.set()
        self._root.set()

    def _build(self) -> None:
        """Prepare in up to three attempts, run the stages, clean up."""
        for attempt in range(3):
            with self._attempt_folder():
                try:
                    self._prepare()
                except BuildError:
                    self._cleanup()
                    raise
                except (SystemFailure, Canceled) as error:
                    self._cleanup()
                    if self._root.is_set():
                        raise self._cancellation() from error
                    self._write(
                        f"ERROR: Preparation failed: {error}\nWill be retried in {self._pause_seconds}s ...\n".encode()
                    )
                    time.sleep(self._pause_seconds)
                    if attempt == 2:
                        raise
                    continue
                try:
                    self._stages()
                finally:
                    self._cleanup()
                return

    @contextlib.contextmanager
    def _attempt_folder(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="custom-executor") as folder:
            self._folder = self.folder = Path(folder)
            response = self._folder / "response.json"
            response.touch(0o600)
            response.write_text(json.dumps(self._job))
            self._job_env: dict[str, str] = {}
            self._builds_dir = self._cache_dir = self._project = ""
            yield

    def _prepare(self) -> None:
        answer = self._call("config", self._root, timeout=self._prepare_seconds).stdout
        told = json.loads(answer) if answer else {}
        self._job_env = told.get("job_env") or {}
        self._builds_dir, self._cache_dir = told.get("builds_dir", "/builds"), told.get("cache_dir", "/cache")
        self._project = f"{self._builds_dir}/{self._job['job_info']['project_full_path']}"
        driver = told.get("driver") or {}
        self._write(f"Using Custom executor with driver {driver.get('name')} {driver.get('version')}...\n".encode())
        self._call("prepare", self._root, timeout=self._prepare_seconds)

    def _stages(self) -> None:
        """Run the build stages in the Runner's order; raise the first error by its priority."""
        self._run("prepare_script", ['echo "Running on $(hostname)..."'], exports=False, inside=False)
        error: Exception | None = None
        try:
            self._run("get_sources", [f"mkdir -p {shlex.quote(self._project)}"], inside=False)
            for cache in self._job["cache"]:
                self._run("restore_cache", [f"gitlab-runner cache-extractor {self._archive(cache['key'])} ."])
            self._user_steps()
            self._status = "success"
        except (BuildError, SystemFailure, Canceled) as failure:
            error = failure
            self._status = "canceled" if self._script.is_set() else "failed"
        if self._root.is_set():
            raise self._cancellation() from error
        if error is not None and self._script.is_set():
            error = Canceled()
        self._after(failed=error is not None)
        late = self._uploads(failed=error is not None)
        with contextlib.suppress(BuildError, SystemFailure, Canceled):
            self._run("cleanup_file_variables", ["true"], inside=False)
        if error or late:
            raise error or late or AssertionError

    def _user_steps(self) -> None:
        self._in_user_steps = True
        for step in self._job["steps"]:
            if step["name"] != "after_script":
                name = "build_script" if step["name"] == "script" else f"step_{step['name'].lower()}"
                self._run(name, _echoed(step["script"]), context=self._script)

    def _after(self, *, failed: bool) -> None:
        del failed
        for step in self._job["steps"]:
            if step["name"] == "after_script":
                try:
                    self._run("after_script", _echoed(step["script"]))
                except (BuildError, SystemFailure) as error:
                    self._write(f"WARNING: after_script failed, but job will continue unaffected: {error}\n".encode())

    def _uploads(self, *, failed: bool) -> Exception | None:
        """Archive caches and upload artifacts; return the first error."""
        first: Exception | None = None
        for kind, command, word in (
            ("cache", "cache-archiver", "archive_cache"),
            ("artifacts", "artifacts-uploader", "upload_artifacts"),
        ):
            for entry in self._job[kind]:
                when = entry.get("when", "on_success")
                if when not in {"always", "on_failure" if failed else "on_success"}:
                    continue
                suffix = "_on_failure" if failed else "" if kind == "cache" else "_on_success"
                paths = " ".join(map(shlex.quote, entry["paths"]))
                archive = self._archive(entry.get("key") or entry.get("name", "artifacts"))
                try:
                    self._run(word + suffix, [f"gitlab-runner {command} {archive} {paths}"])
                except (BuildError, SystemFailure) as error:
                    first = first or error
        return first

    def _archive(self, key: str) -> str:
        return shlex.quote(f"{self._cache_dir}/{key}.tar")

    def _run(
        self,
        stage: str,
        lines: list[str],
        *,
        exports: bool = True,
        inside: bool = True,
        context: threading.Event | None = None,
    ) -> None:
        """Call run with the stage's script; a stage whose context is canceled already is not called."""
        chosen = context or self._root
        if chosen.is_set() or self._root.is_set():
            raise Canceled
        with tempfile.TemporaryDirectory(prefix="script", dir=self._folder) as folder:
            script = Path(folder) / "script"
            script.touch(0o700)
            script.write_bytes(self._script_text(lines, exports=exports, inside=inside))
            self._call("run", chosen, str(script), stage)

    def _script_text(self, lines: list[str], *, exports: bool, inside: bool) -> bytes:
        """Return a script in the form that shells/bash.go generates."""
        temporary = f"{self._project}.tmp"
        everything = ""
        if exports:
            everything += f"mkdir -p {_quoted(temporary)}\n"
            for key, value, is_file in self._script_variables():
                if is_file:
                    everything += f"printf '%s' {_quoted(value)} > {_quoted(f'{temporary}/{key}')}\n"
                    value = f"{temporary}/{key}"  # noqa: PLW2901 (the variable becomes the file's path)
                everything += f"export {key}={_quoted(value)}\n"
        if inside:
            everything += f"cd {_quoted(self._project)}\n"
        everything += "\n".join(lines) + "\n"
        return (
            "#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\n"
            'case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit\nset +o noclobber\n'
            f"(trap 'exit 1' TERM; eval {_quoted(everything)}) < /dev/null\nexit 0\n"
        ).encode()

    def _script_variables(self) -> list[tuple[str, str, bool]]:
        listed = [(one["key"], one["value"], one.get("file", False)) for one in self._job["variables"]]
        return [("CI_JOB_STATUS", self._status, False), ("CI_PROJECT_DIR", self._project, False), *listed]

    def _call_environment(self) -> dict[str, str]:
        """Return the environment of a call: the Runner's own, its five variables, job_env, then the job's variables."""
        variables = {
            "FF_KUBERNETES_HONOR_ENTRYPOINT": "false",
            "CI_RUNNER_SHORT_TOKEN": "abcdefgh",
            "CI_RUNNER_VERSION": "19.4.0",
            "CI_BUILDS_DIR": self._builds_dir,
            "CI_PROJECT_DIR": self._project,
            "CI_JOB_STATUS": self._status,
            "CI_JOB_TIMEOUT": str(self._job["runner_info"]["timeout"]),
            "CI_JOB_SERVICES": "",
            "RUNNER_TEMP_PROJECT_DIR": f"{self._project}.tmp",
        }
        variables |= {one["key"]: one["value"] for one in self._job["variables"]}
        return {
            **self._environment,
            "TMPDIR": str(self._folder),
            "BUILD_FAILURE_EXIT_CODE": "1",
            "SYSTEM_FAILURE_EXIT_CODE": "2",
            "BUILD_EXIT_CODE_FILE": str(self._folder / "build_exit_code"),
            "JOB_RESPONSE_FILE": str(self._folder / "response.json"),
            **self._job_env,
            **{f"CUSTOM_ENV_{key}": value for key, value in variables.items()},
        }

    def _cleanup(self) -> None:
        try:
            self._call("cleanup", threading.Event(), timeout=120)
        except (BuildError, SystemFailure) as error:
            self._write(f"WARNING: Cleanup script failed: {error}\n".encode())

    def _call(self, stage: str, context: threading.Event, *words: str, timeout: float = 86400) -> Call:
        """Call the driver; raise what its exit code means."""
        argv = [*self._driver, stage, *self._arguments, *words]
        began = time.monotonic()
        process = self.process = subprocess.Popen(
            argv, cwd=self._folder, env=self._call_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0,
        )  # fmt: skip
        outputs: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        to_trace = {"config": {"stderr"}, "cleanup": set[str]()}.get(stage, {"stdout", "stderr"})
        pumps = [
            threading.Thread(target=self._pump, args=(getattr(process, name), kept, name in to_trace))
            for name, kept in outputs.items()
        ]
        for pump in pumps:
            pump.start()
        self._wait(process, pumps, context, timeout)
        script = words[-1] if words else ""
        call = Call(stage, script, process.returncode, time.monotonic() - began, *map(bytes, outputs.values()))
        self._outcome.calls.append(call)
        self._judge(call)
        return call

    def _wait(
        self, process: subprocess.Popen[bytes], pumps: list[threading.Thread], context: threading.Event, timeout: float
    ) -> None:
        """Wait for the exit and the end of both pipes; on cancel or timeout TERM the group, then KILL it."""
        deadline, kill_at, give_up_at = time.monotonic() + timeout, 0.0, 0.0
        while process.poll() is None or any(pump.is_alive() for pump in pumps):
            now = time.monotonic()
            if not kill_at and (context.is_set() or now > deadline):
                kill_at = now + self._graceful_kill_seconds
                _kill(process, signal.SIGTERM)
            elif kill_at and not give_up_at and now > kill_at:
                give_up_at = now + self._force_kill_seconds
                _kill(process, signal.SIGKILL)
            elif give_up_at and now > give_up_at:
                raise SystemFailure(f"failed to kill process PID={process.pid}, likely process is dormant")
            time.sleep(0.01)

    def _pump(self, pipe: Any, kept: bytearray, to_trace: bool) -> None:  # noqa: FBT001 (a thread's argument)
        with pipe:
            while content := os.read(pipe.fileno(), 65536):
                kept += content
                if to_trace:
                    self._write(content)

    def _write(self, content: bytes) -> None:
        with self._lock:
            self._outcome.trace += content
            due = [watcher for watcher in self._watchers if watcher[0] in self._outcome.trace]
            self._watchers = [watcher for watcher in self._watchers if watcher not in due]
        for _, action in due:
            threading.Thread(target=action, daemon=True).start()

    def _judge(self, call: Call) -> None:
        """Raise what an exit code means. Source: executors/custom/command/command.go, waitForCommand."""
        if call.code == 0:
            return
        file = self._folder / "build_exit_code"
        if call.code == 2:
            raise SystemFailure("exit status 2")
        if call.code != 1:
            raise SystemFailure(f"unknown Custom executor executable exit code {call.code}")
        if not file.exists():
            raise BuildError("script_failure", 1)
        first = file.read_text().split("\n")[0]
        if not first.lstrip("-").isdigit():
            raise SystemFailure(f"unknown Custom executor executable exit code {call.code}; {first!r}")
        raise BuildError("script_failure", int(first))

    def _cancellation(self) -> Exception:
        return BuildError("job_execution_timeout") if self._timed_out else Canceled()


def _kill(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _echoed(lines: list[str]) -> list[str]:
    return [word for line in lines for word in (f"echo {_quoted(f'$ {line}')}", line)]


def _quoted(text: str) -> str:
    """Quote as the Runner's ShellEscape does."""
    if not text:
        return "''"
    if all(character.isascii() and (character.isalnum() or character in "/_-.:=@%+") for character in text):
        return text
    names = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    out = []
    for character in text:
        if character in names:
            out.append(names[character])
        elif character.isascii() and character.isprintable():
            out.append(character)
        else:
            out.append("".join(f"\\x{byte:02X}" for byte in character.encode()))
    return f"$'{''.join(out)}'"
