"""A GitLab Runner for tests: does what `gitlab-runner run-single` does with a custom executor, without GitLab.

Written from gitlab-runner 19.4: executors/custom, common/build.go, shells/bash.go. Cache and artifact stages call a
`gitlab-runner` in the container, as the real ones do. Left out: masking, timestamps, sections.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fakes import runner_script
from tests.fakes.driver_call import BuildError, Call, Canceled, DriverCall, Limits, SystemFailure, judge
from tests.fakes.runner_script import Folders, Payload, payload
from tests.labs.warm_processes import runtime_folder

__all__ = ["BuildError", "Call", "Canceled", "Outcome", "Payload", "Runner", "SystemFailure", "payload"]


@dataclasses.dataclass
class Outcome:
    """What GitLab would learn of a job."""

    state: str = ""
    reason: str = ""
    exit_code: int = 0
    trace: bytearray = dataclasses.field(default_factory=bytearray)
    calls: list[Call] = dataclasses.field(default_factory=list)

    def call(self, name: str) -> Call:
        """Return the only call of a stage, or of a build stage. Raises ValueError if there are more or none."""
        (found,) = (call for call in self.calls if name in {call.script, call.stage if call.stage != "run" else ""})
        return found

    @property
    def stages(self) -> list[str]:
        """The calls in order, run stages by their names."""
        return [call.script or call.stage for call in self.calls]

    @property
    def text(self) -> str:
        """The job log."""
        return self.trace.decode("utf-8", "replace")


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
        config_seconds: float = 3600,
        cleanup_seconds: float = 120,
        prepare_seconds: float = 3600,
        finish_seconds: float = 300,
    ) -> None:
        self.driver, self.arguments = driver, arguments
        plain = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "XDG_RUNTIME_DIR": str(runtime_folder())}
        self.environment = plain | (environment or {})
        self._limits = Limits(graceful_kill=graceful_kill_seconds, force_kill=force_kill_seconds, finish=finish_seconds)
        self._pause_seconds = pause_seconds
        self._cleanup_seconds = cleanup_seconds
        self._config_seconds, self._prepare_seconds = config_seconds, prepare_seconds
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
        self._in_user_steps = self._timed_out = self._script_timed_out = False
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

    def _time_out_script(self) -> None:
        self._script_timed_out = True
        self._script.set()

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
            self._folders = Folders(project="", cache="")  # the config stage does not know them yet
            yield

    def _prepare(self) -> None:
        answer = self._call("config", self._root, timeout=self._config_seconds).stdout
        try:
            printed = json.loads(answer) if answer else {}
        except ValueError as error:
            raise SystemFailure(f"error while parsing JSON output: {error}") from error
        self._job_env = printed.get("job_env") or {}
        self._folders = Folders(
            project=f"{printed.get('builds_dir', '/builds')}/{self._job['job_info']['project_full_path']}",
            cache=printed.get("cache_dir", "/cache"),
        )
        driver = printed.get("driver") or {}
        self._write(f"Using Custom executor with driver {driver.get('name')} {driver.get('version')}...\n".encode())
        self._call("prepare", self._root, timeout=self._prepare_seconds)

    def _stages(self) -> None:
        """Run the build stages in the Runner's order; raise the first error by its priority."""
        job, folders = self._job, self._folders
        try:
            self._run("prepare_script", ['echo "Running on $(hostname)..."'], exports=False, inside=False)
        except (BuildError, SystemFailure) as failure:
            raise (self._cancellation() if self._root.is_set() else failure) from failure
        error: Exception | None = None
        try:
            sources = runner_script.get_sources(job, folders)
            self._attempts("get_sources", sources, "GET_SOURCES_ATTEMPTS", inside=False)
            self._attempts("restore_cache", runner_script.restore_caches(job, folders), "RESTORE_CACHE_ATTEMPTS")
            downloads = runner_script.download_artifacts(job, folders)
            self._attempts("download_artifacts", downloads, "ARTIFACT_DOWNLOAD_ATTEMPTS")
            self._user_steps()
            self._status = "success"
        except (BuildError, SystemFailure, Canceled) as failure:
            error = failure
            self._status = "canceled" if self._script.is_set() else "failed"
        if self._root.is_set():
            raise self._cancellation() from error
        if error is not None and self._script.is_set():
            error = BuildError("job_execution_timeout") if self._script_timed_out else Canceled()
        if self._in_user_steps:
            self._after()
        late = self._uploads(failed=error is not None)
        with contextlib.suppress(BuildError, SystemFailure, Canceled):
            self._run("cleanup_file_variables", ["true"], inside=False)
        if error or late:
            raise error or late or AssertionError

    def _attempts(self, stage: str, lines: list[str], variable: str, *, inside: bool = True) -> None:
        """Run a stage as often as a job variable allows; a work tree is cleared before sources are got again."""
        if not lines:
            return
        attempts = min(max(int(self._variable(variable) or 1), 1), 10)
        for attempt in range(1, attempts + 1):
            try:
                if attempt > 1 and stage == "get_sources":
                    self._run("clear_worktree", ["true"], inside=False)
                self._run(stage, lines, inside=inside)
            except (BuildError, SystemFailure):
                if attempt == attempts:
                    raise
            else:
                return

    def _user_steps(self) -> None:
        self._in_user_steps = True
        limit = self._variable("RUNNER_SCRIPT_TIMEOUT")
        if limit:
            timer = threading.Timer(float(limit.removesuffix("s")), self._time_out_script)
            timer.daemon = True
            timer.start()
        for step in self._job["steps"]:
            if step["name"] != "after_script":
                name = "build_script" if step["name"] == "script" else f"step_{step['name'].lower()}"
                self._run(name, self._echoed(step), context=self._script)

    def _after(self) -> None:
        """Run after_script within its own limit; its failure is only logged."""
        limit = float(self._variable("RUNNER_AFTER_SCRIPT_TIMEOUT").removesuffix("s") or 300)
        for step in self._job["steps"]:
            if step["name"] == "after_script":
                try:
                    self._run("after_script", self._echoed(step), timeout=limit)
                except (BuildError, SystemFailure) as error:
                    self._write(f"WARNING: after_script failed, but job will continue unaffected: {error}\n".encode())

    def _echoed(self, step: Payload) -> list[str]:
        posix = self._variable("FF_POSIXLY_CORRECT_ESCAPES") == "true"
        return runner_script.echoed(step["script"], posix=posix)

    def _uploads(self, *, failed: bool) -> Exception | None:
        """Archive caches and upload artifacts; return the first error."""
        caches = runner_script.archive_caches(self._job, self._folders, failed=failed)
        artifacts = runner_script.upload_artifacts(self._job, self._folders, failed=failed)
        suffix = "_on_failure" if failed else ""
        first: Exception | None = None
        for stage, lines in ((f"archive_cache{suffix}", caches), (f"upload_artifacts{suffix or '_on_success'}", artifacts)):
            try:
                if lines:
                    self._run(stage, lines)
            except (BuildError, SystemFailure) as error:
                first = first or error
        return first

    def _variable(self, name: str) -> str:
        """Return a job variable, "" if it is not set."""
        found: list[str] = [one["value"] for one in self._job["variables"] if one["key"] == name]
        return found[-1] if found else ""

    def _run(
        self,
        stage: str,
        lines: list[str],
        *,
        exports: bool = True,
        inside: bool = True,
        context: threading.Event | None = None,
        timeout: float = 86400,
    ) -> None:
        """Call run with the stage's script; a stage whose context is canceled already is not called."""
        chosen = context or self._root
        if chosen.is_set() or self._root.is_set():
            raise Canceled
        listed = [(one["key"], one["value"], one.get("file", False)) for one in self._job["variables"]]
        variables = [("CI_JOB_STATUS", self._status, False), ("CI_PROJECT_DIR", self._folders.project, False), *listed]
        text = runner_script.script_text(lines, variables, self._folders, exports=exports, inside=inside)
        with tempfile.TemporaryDirectory(prefix="script", dir=self._folder) as folder:
            script = Path(folder) / "script"
            script.touch(0o700)
            script.write_bytes(text)
            self._call("run", chosen, str(script), stage, timeout=timeout)

    def _call_environment(self) -> dict[str, str]:
        """Return the environment of a call: the Runner's own, its five variables, job_env, then the job's variables."""
        variables = {
            "FF_KUBERNETES_HONOR_ENTRYPOINT": "false",
            "CI_RUNNER_SHORT_TOKEN": "abcdefgh",
            "CI_PROJECT_DIR": self._folders.project,
            "CI_JOB_STATUS": self._status,
            "CI_JOB_TIMEOUT": str(self._job["runner_info"]["timeout"]),
            "CI_JOB_IMAGE": (self._job["image"] or {}).get("name", ""),
            "CI_JOB_SERVICES": self._services(),
            "RUNNER_TEMP_PROJECT_DIR": self._folders.temporary,
        }
        variables |= {one["key"]: one["value"] for one in self._job["variables"]}
        variables["CI_RUNNER_VERSION"] = "19.4.0"  # after the job's own, as common/build.go has it
        return {
            **self.environment,
            "TMPDIR": str(self._folder),
            "BUILD_FAILURE_EXIT_CODE": "1",
            "SYSTEM_FAILURE_EXIT_CODE": "2",
            "BUILD_EXIT_CODE_FILE": str(self._folder / "build_exit_code"),
            "JOB_RESPONSE_FILE": str(self._folder / "response.json"),
            **self._job_env,
            **{f"CUSTOM_ENV_{key}": value for key, value in variables.items()},
        }

    def _services(self) -> str:
        """Return the services in the form of custom.go, getCIJobServicesEnv: the first alias only; "" without any."""
        keys = ("name", "entrypoint", "command")
        services = [
            {key: one.get(key) for key in keys} | {"alias": (one.get("alias") or "").replace(",", " ").split(" ")[0]}
            for one in self._job["services"]
        ]
        return json.dumps(services) if services else ""

    def _cleanup(self) -> None:
        try:
            self._call("cleanup", threading.Event(), timeout=self._cleanup_seconds)
        except (BuildError, SystemFailure) as error:
            self._write(f"WARNING: Cleanup script failed: {error}\n".encode())

    def _call(self, stage: str, context: threading.Event, *arguments: str, timeout: float = 86400) -> Call:
        """Call the driver; raise what its exit code means."""
        argv = [*self.driver, stage, *self.arguments, *arguments]
        environment = self._call_environment()
        running = DriverCall(argv, stage, folder=self._folder, environment=environment, write=self._write)
        self.process = running.process
        running.wait(context, self._root, seconds=timeout, limits=self._limits)
        call = running.ended(arguments[-1] if arguments else "")
        self._outcome.calls.append(call)
        judge(call, self._folder / "build_exit_code")
        return call

    def _write(self, content: bytes) -> None:
        with self._lock:
            self._outcome.trace += content
            due = [watcher for watcher in self._watchers if watcher[0] in self._outcome.trace]
            self._watchers = [watcher for watcher in self._watchers if watcher not in due]
        for _, action in due:
            threading.Thread(target=action, daemon=True).start()

    def _cancellation(self) -> Exception:
        return BuildError("job_execution_timeout") if self._timed_out else Canceled()
