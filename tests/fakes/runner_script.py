"""The scripts that GitLab Runner generates, for the emulator: shells/bash.go and shells/abstract.go of gitlab-runner 19.4.

Pure: a job's payload and lines in, text out.
"""

import dataclasses
import shlex
from typing import Any

Payload = dict[str, Any]
_MISSING = "Missing gitlab-runner. Uploading artifacts is disabled."


@dataclasses.dataclass(frozen=True)
class Folders:
    """Where a job works in its containers."""

    project: str
    cache: str

    @property
    def temporary(self) -> str:
        """The folder of file variables."""
        return f"{self.project}.tmp"

    def archive(self, key: str) -> str:
        """Return the path of a cache's or an artifact's archive, quoted."""
        return shlex.quote(f"{self.cache}/{key}.tar")


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


def get_sources(job: Payload, folders: Folders) -> list[str]:
    """Return the lines of get_sources without a git strategy, with the job's hooks around them."""
    before = _hook(job, "pre_get_sources_script")
    return [*before, f"mkdir -p {shlex.quote(folders.project)}", *_hook(job, "post_get_sources_script")]


def restore_caches(job: Payload, folders: Folders) -> list[str]:
    """Return the lines of restore_cache."""
    return _guarded([f"gitlab-runner cache-extractor {folders.archive(cache['key'])}" for cache in job["cache"]])


def download_artifacts(job: Payload, folders: Folders) -> list[str]:
    """Return the lines of download_artifacts: one for each dependency that has some."""
    names = [one["artifacts_file"]["filename"] for one in job["dependencies"] if one.get("artifacts_file")]
    return _guarded([f"gitlab-runner artifacts-downloader {folders.archive(name)}" for name in names])


def archive_caches(job: Payload, folders: Folders, *, failed: bool) -> list[str]:
    """Return the lines of archive_cache; empty if no cache's `when` matches."""
    return _guarded(
        [
            f"gitlab-runner cache-archiver {folders.archive(cache['key'])} {_paths(cache)}"
            for cache in job["cache"]
            if _is_due(cache, failed=failed)
        ]
    )


def upload_artifacts(job: Payload, folders: Folders, *, failed: bool) -> list[str]:
    """Return the lines of upload_artifacts; empty if no artifact's `when` matches."""
    return _guarded(
        [
            f"gitlab-runner artifacts-uploader {folders.archive(one.get('name', 'artifacts'))} {_paths(one)}"
            for one in job["artifacts"]
            if _is_due(one, failed=failed)
        ]
    )


def echoed(lines: list[str], *, posix: bool = False) -> list[str]:
    """Return the user's lines, each preceded by its echo."""
    quote = posix_quoted if posix else quoted
    return [word for line in lines for word in (f"echo {quote(f'$ {line}')}", line)]


def script_text(
    lines: list[str], variables: list[tuple[str, str, bool]], folders: Folders, *, exports: bool, inside: bool
) -> bytes:
    """Return a script in the form that shells/bash.go generates. Variables: name, value, whether it is a file."""
    quote = posix_quoted if is_posix(variables) else quoted
    everything = ""
    if exports:
        everything += f"mkdir -p {quote(folders.temporary)}\n"
        for key, value, is_file in variables:
            path = f"{folders.temporary}/{key}"
            if is_file:
                everything += f"printf '%s' {quote(value)} > {quote(path)}\n"
            everything += f"export {key}={quote(path if is_file else value)}\n"
    if inside:
        everything += f"cd {quote(folders.project)}\n"
    everything += "\n".join(lines) + "\n"
    return (
        "#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\n"
        'case "$(set -o)" in *"pipefail"*) set -o pipefail;; esac; set -o errexit\nset +o noclobber\n'
        f"(trap 'exit 1' TERM; eval {quote(everything)}) < /dev/null\nexit 0\n"
    ).encode()


def quoted(text: str) -> str:
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


def is_posix(variables: list[tuple[str, str, bool]]) -> bool:
    """Tell whether the job wants quotes that every POSIX shell reads."""
    return ("FF_POSIXLY_CORRECT_ESCAPES", "true") in [(name, value) for name, value, _ in variables]


def posix_quoted(text: str) -> str:
    """Quote as the Runner's PosixShellEscape does."""
    return '"' + "".join(f"\\{character}" if character in '`"\\$' else character for character in text) + '"'


def _guarded(commands: list[str]) -> list[str]:
    """Return commands in the Runner's guard: without gitlab-runner they are left out, and the stage succeeds."""
    if not commands:
        return []
    return [
        "if gitlab-runner --version >/dev/null 2>&1; then",
        *(f"  {command}" for command in commands),
        f"else echo {quoted(_MISSING)}; fi",
    ]


def _hook(job: Payload, name: str) -> list[str]:
    return [line for hook in job.get("hooks", []) if hook["name"] == name for line in hook["script"]]


def _is_due(entry: dict[str, Any], *, failed: bool) -> bool:
    return entry.get("when", "on_success") in {"always", "on_failure" if failed else "on_success"}


def _paths(entry: dict[str, Any]) -> str:
    return " ".join(map(shlex.quote, entry["paths"]))
