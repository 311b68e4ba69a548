"""Small jobs that the official executor and ours are to run alike: images, users, files, sizes, registries, odd scripts.

Pure. A job's script prints what is compared after `@`; the same payload goes to both.
"""

import dataclasses
import json
import re
from typing import Any

from tests.fakes.runner_script import payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.odd_images import ODD_IMAGES, ODD_VARIABLES, reference

PAGE = ROOT / "docs/executor.md"
_ROW = re.compile(r"^\| ([^|]+?) \|", re.MULTILINE)
_SECTION = "## Where jobs end differently under the official executor"
HELPER = "localhost/spack-farm-helper:1"
BUSYBOX = "localhost/busybox:1"
SETTINGS = """
cpu_request_overwrite_max_allowed = "1"
cpu_limit_overwrite_max_allowed = "2"
memory_request_overwrite_max_allowed = "256Mi"
memory_limit_overwrite_max_allowed = "512Mi"
ephemeral_storage_limit_overwrite_max_allowed = "1Gi"
allowed_pull_policies = ["if-not-present", "never"]
"""
"""Keys of [kubernetes] that both executors have."""
_WAITING = {
    "not on the node", "image without a shell", "half a byte", "registry that is down", "registry that does not exist",
    "all processes killed",
    *(name for name, image in ODD_IMAGES.items() if image.waits),
}  # fmt: skip
"""Jobs that wait under one of the two, until their timeout is over."""
_SHORT_SECONDS, _LONG_SECONDS = 45, 240
USER = {"kubernetes": {"user": "1000"}}


@dataclasses.dataclass(frozen=True)
class Places:
    """Where registries and repositories of a run are."""

    registry: str
    """A registry over plain HTTP on loopback, and a path in it of which the node has no image yet."""
    untrusted: str
    """The same with a certificate that nobody trusts."""
    login: dict[str, object]
    """The login to what is private in the first one."""
    source: dict[str, Any]
    """Keys of the payload of a job on a repository."""


def compat_jobs(places: Places) -> dict[str, dict[str, Any]]:
    """Return the jobs' payloads by name; each ends soon, or by its own timeout."""
    jobs = _scripts() | _users(places) | _images(places) | _sizes() | _odd_images()
    return {name: _with_timeout(name, one) for name, one in jobs.items()}


def documented(page: str) -> list[str]:
    """Return the jobs that the tables of differences name; a row may name several."""
    section = page.partition(f"\n{_SECTION}\n")[2].partition("\n## ")[0]
    return [name for row in _ROW.findall(section) for name in row.split("; ") if name not in {"job", "---"}]


def _job(script: list[str], *, image: str = BUSYBOX, more: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return payload(script, image={"name": image, "entrypoint": [""]} | (more or {}), **changes)


def _with_timeout(name: str, job: dict[str, Any]) -> dict[str, Any]:
    if job["runner_info"]["timeout"] <= 0:
        return job
    return job | {"runner_info": {"timeout": _SHORT_SECONDS if name in _WAITING else _LONG_SECONDS}}


def _scripts() -> dict[str, dict[str, Any]]:
    file = {"key": "A_FILE", "value": "line 1\nline 2", "public": False, "masked": False, "file": True}
    artifact = {"name": "a", "paths": ["kept"], "when": "always", "artifact_type": "archive", "artifact_format": "zip"}
    odd = {"ODD": "a 'b' \"c\" $$d `e` \\f\n* ~ é", "EMPTY": ""}
    posix = {"FF_POSIXLY_CORRECT_ESCAPES": "true"}
    return {
        "success": _job(["echo @done"]),
        "exit code": _job(["echo @before", "(exit 42)", "echo @never"]),
        "exit 256": _job(["sh -c 'exit 256'", "echo @zero"]),
        "pipe that fails": _job(["false | true", "echo @after"], image="localhost/bash:1"),
        "unset variable": _job(['echo "@<$NOT_SET>"']),
        "standard input": _job(["read -r line || echo @nothing to read"]),
        "no terminal": _job(["[ -t 1 ] || echo @no terminal"]),
        "working folder": _job(["echo @$PWD"]),
        "search path": _job(["echo @$PATH"]),
        "home": _job(["echo @$HOME"]),
        "shell options": _job(["echo @$-"], image="localhost/bash:1"),
        "variables": _job(['printf "@<%s>\\n" "$ODD" | tr "\\n" "|"; echo', 'echo "@<$EMPTY>"'], variables=odd),
        "file variable": _job(['stat -c "@%a" "$A_FILE"', 'sed s/^/@/ "$A_FILE"; echo'], secret_variables=[file]),
        "modes of files": _job(["echo x >f; mkdir d", "stat -c '@%a %n' f d .", "echo @$(umask)"]),
        "left in the background": _job(["sleep 300 & echo @left"]),
        "much output": _job(["seq 1 20000 | sed s/^/@/"]),
        "no newline at the end": _job(["printf '@no newline'"]),
        "bytes": _job(["printf '@\\303\\251 \\377\\n'"]),
        "all processes killed": _job(["seq 1 2000 | sed s/^/@/", "kill -9 -1"]),
        "killed by itself": _job(["echo @begun", "kill -9 $$"]),
        "interrupt": _job(["sh -c 'kill -INT $$'; echo @$?"]),
        "after_script": _job(["exit 3"], after=["echo @$CI_JOB_STATUS", "exit 7"]),
        "after_script in another shell": _job(["export KEPT=1"], after=["echo @<$KEPT>"]),
        "script timeout": _job(["echo @begun; sleep 40"], variables={"RUNNER_SCRIPT_TIMEOUT": "8s"}, after=["echo @after"]),
        "artifacts of a failed job": _job(["echo a >kept; exit 4"], artifacts=[artifact], image=HELPER),
        "no timeout": _job(["echo @ran"], runner_info={"timeout": 0}),
        "dash": _job(["echo @ran"], image="localhost/dash:1"),
        "dash with POSIX quotes": _job(["echo ab | grep 'b$' | sed s/^/@/"], image="localhost/dash:1", variables=posix),
    }


def _users(places: Places) -> dict[str, dict[str, Any]]:
    flag = {"FF_DISABLE_UMASK_FOR_KUBERNETES_EXECUTOR": "true"}
    file = {"key": "A_FILE", "value": "x", "public": False, "masked": False, "file": True}
    look = ["stat -c '@%a %u %n' . examples .git", 'stat -c "@%a %u" "$A_FILE"']
    elsewhere = {"GIT_CLONE_PATH": "$CI_BUILDS_DIR/elsewhere"}
    git = "git log -1 --format=@%s"

    def sources(
        script: list[str], variables: dict[str, str] | None = None, *, more: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        source = places.source | {"variables": places.source["variables"] | (variables or {})}
        return _job(script, image=HELPER, more=more, secret_variables=[file], **source)

    other = {"executor_opts": USER}
    return {
        "git": sources([git, "git status --short | wc -l | sed s/^/@/"]),
        "git as another user": sources([git], more=other),
        "another user": _job(["echo @$(id -u):$(id -g)", "echo x >f && stat -c '@%a %u' f"], more=other),
        "sources and file variables": sources(look),
        "sources and file variables of another user": sources(look, more=other),
        "without umask 0000": sources(look, flag),
        "without umask 0000, another user": sources([*look, git], flag, more=other),
        "GIT_CLONE_PATH": sources(["echo @$PWD", git], elsewhere),
        "user that is not a number": _job(["echo @$(id -u)"], more={"executor_opts": {"kubernetes": {"user": "builder"}}}),
        "no sources": _job(["ls -A | wc -l | sed s/^/@/"], variables={"GIT_STRATEGY": "none"}),
    }


def _images(places: Places) -> dict[str, dict[str, Any]]:
    login = json.dumps(places.login)

    as_file = {
        "key": "DOCKER_AUTH_CONFIG",
        "value": login,
        "public": False,
        "masked": False,
        "file": True,
    }

    def pulled(
        name: str, *, registry: str = places.registry, secrets: list[dict[str, Any]] | None = None, **variables: str
    ) -> dict[str, Any]:
        return _job(["echo @ran"], image=f"{registry}/{name}", variables=variables, secret_variables=secrets or [])

    def own(line: str, name: str, **variables: str) -> dict[str, Any]:
        return payload([line], image={"name": f"localhost/{name}:1"}, variables=variables)

    honored = {"FF_KUBERNETES_HONOR_ENTRYPOINT": "true"}
    return {
        "pulled": pulled("team/app:503"),
        "missing, named after codes": pulled("timeout/503:429"),
        "registry that is down": pulled("status/503/denied:404"),
        "denied": pulled("status/403/timeout:503"),
        "private with DOCKER_AUTH_CONFIG": pulled("private/app:1", DOCKER_AUTH_CONFIG=login),
        "private with DOCKER_AUTH_CONFIG as a file": pulled("private/file:1", secrets=[as_file]),
        "broken DOCKER_AUTH_CONFIG": pulled("team/other:1", DOCKER_AUTH_CONFIG='{"auths": '),
        "private without a login": pulled("private/other:1"),
        "untrusted registry": pulled("team/app:1", registry=places.untrusted),
        "registry that does not exist": pulled("app:1", registry="nowhere.invalid"),
        "not on the node": _job(["echo @never"], image="localhost/nothing:1", more={"pull_policy": ["never"]}),
        "no image": _job(["echo @never"], image=""),
        "not a name": _job(["echo @never"], image="Not/A Name"),
        "pull policy that is not allowed": _job(["echo @never"], more={"pull_policy": ["always"]}),
        "image without a shell": _job(["echo @never"], image="localhost/noshell:1"),
        "image without gitlab-runner": _job(["echo @ran"], image="localhost/norunner:1"),
        "entrypoint of the job": _job(["echo @ran"], more={"entrypoint": ["/bin/sh", "-c"]}),
        "entrypoint that fails": _job(["echo @ran"], more={"entrypoint": ["/bin/false"]}),
        "hostile environment": _job(['echo "@$stage $root $home $shell $size $value"'], image="localhost/hostile:1"),
        "image with a user": _job(["echo @$(id -u):$(id -g)", "echo x >f"], image="localhost/nobody:1"),
        "image with little but bash": _job(["echo @ran"], image="localhost/bare:1"),
        "image's entrypoint is a shell": own("echo @ran", "entry-sh"),
        "image's entrypoint is sh -c": own("echo @ran", "entry-sh-c"),
        "image's entrypoint fails": own("echo @ran", "entry-fails"),
        "image's entrypoint is missing": own("echo @ran", "entry-missing"),
        "entrypoint that is honored": own('echo "@$FROM_ENTRYPOINT $(ulimit -n)"', "entry-exports", **honored),
        "entrypoint that is honored and fails": own("echo @never", "entry-fails", **honored),
        "a service": _job(["echo @ran"], services=[{"name": BUSYBOX, "alias": "db", "command": ["sleep", "60"]}]),
    }


def _sizes() -> dict[str, dict[str, Any]]:
    def sized(script: str = "echo @ran", **variables: str) -> dict[str, Any]:
        return _job([script], variables={f"KUBERNETES_{name}": value for name, value in variables.items()})

    return {
        "a size": sized(MEMORY_REQUEST="64Mi", CPU_REQUEST="100m"),
        "half a byte": sized(MEMORY_LIMIT="512m"),
        "half a byte as a request": sized(MEMORY_REQUEST="512m"),
        "four thousand cores": sized(CPU_REQUEST="4000"),
        "no quantity": sized(MEMORY_LIMIT="512MB"),
        "limit of zero": sized(MEMORY_LIMIT="0"),
        "more than the cap": sized(MEMORY_REQUEST="1Gi"),
        "killed for memory": sized("tail /dev/zero; echo @$?; exit 9", MEMORY_LIMIT="32Mi"),
        "overwrites that are not allowed": sized(
            NODE_SELECTOR_X="no=such", SERVICE_ACCOUNT_OVERWRITE="nobody", NAMESPACE_OVERWRITE="other"
        ),
    }


def _odd_images() -> dict[str, dict[str, Any]]:
    """Return the jobs in odd images; the name of an entrypoint's job says that it is honored."""
    return {
        name: payload(image.script, image={"name": reference(name)}, variables=ODD_VARIABLES | image.variables)
        for name, image in ODD_IMAGES.items()
    }
