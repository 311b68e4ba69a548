"""Clause: `executor check` finds what would fail the first job, each in one line with what to do, and creates nothing."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.kube.server import FakeCluster
from tests.labs.checkout import ROOT

PODS = "/api/v1/namespaces/default/pods$"
REVIEWS = "selfsubjectaccessreviews"
EXAMPLE = (ROOT / "config.toml.example").read_text()


def check(*words: str | Path, path: str = os.environ["PATH"], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the verb; no gitlab-runner of this machine is asked for its version."""
    argv = [sys.executable, "-m", "executor", "check", "--runner-version", "19.4.0", *map(str, words)]
    environment = {"PATH": path, "HOME": "/nonexistent", "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, timeout=100)
    assert "Traceback" not in done.stdout + done.stderr
    return done


def settings_of(folder: Path, cluster: FakeCluster, kubernetes: str = "", top: str = "") -> Path:
    path = folder / "settings.toml"
    path.write_text(
        f'{top}\n[kubernetes]\nkubeconfig = "{cluster.kubeconfig()}"\nimage = "localhost/bash:1"\n'
        f'helper_image = "localhost/busybox:1"\n{kubernetes}\n'
    )
    return path


def faults(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith("FIX")]


def test_a_cluster_on_which_jobs_run_has_no_fault_and_nothing_is_made(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.store.create("secrets", {"metadata": {"name": "login"}, "type": "Opaque", "data": {}})
    settings = settings_of(tmp_path, cluster)
    settings.write_text(settings.read_text().replace("busybox:1", "busybox:19.4"))
    runners_file = tmp_path / "config.toml"
    runners_file.write_text(
        EXAMPLE.replace("/etc/spack-farm/settings.toml", str(settings)).replace("gitlab.example.com", "gitlab.site")
        .replace("REPLACE-ME", "x").replace('"spack-farm"\n    ', f'"{sys.executable}"\n    ')
    )  # fmt: skip
    runners_file.chmod(0o600)
    done = check("--config", settings, "--config-toml", runners_file)
    assert (done.returncode, faults(done), done.stderr) == (0, [], ""), done.stdout
    for subject in (
        "settings",
        "gitlab-runner",
        "helper image",
        "runner spack-farm",
        "access",
        "API server",
        "clock",
        "pod",
    ):
        assert f"\nok    {subject}" in f"\n{done.stdout}"
    assert done.stdout.count("ok    right to ") == 6
    assert cluster.created == cluster.shared == cluster.pods() == []


@pytest.mark.parametrize(
    ("denied", "said"),
    [
        ([("pods", "create")], "cannot create pods in namespace default"),
        ([("pods/exec", "get")], "cannot get pods/exec"),
        ([("secrets", "patch"), ("secrets", "delete")], "cannot patch or delete secrets"),
        ([("configmaps", "patch")], "cannot patch configmaps"),
        ([("events", "list"), ("pods/log", "get")], "cannot list events"),
    ],
)
def test_each_right_that_is_missing_is_named(
    cluster: FakeCluster, tmp_path: Path, denied: list[tuple[str, str]], said: str
) -> None:
    cluster.denied.update(denied)
    done = check("--config", settings_of(tmp_path, cluster))
    assert done.returncode == 1
    assert any(said in line for line in faults(done)), done.stdout
    assert len(faults(done)) == len({resource for resource, _ in denied})
    assert "kubectl apply -f docs/reference/rbac.yaml" in done.stdout


def skewed(cluster: FakeCluster) -> None:
    cluster.clock_ahead_seconds = -4000


def other_token(cluster: FakeCluster) -> None:
    cluster.kubeconfig()
    cluster.tokens = {"another"}


def opaque_secret(cluster: FakeCluster) -> None:
    cluster.store.create("secrets", {"metadata": {"name": "login"}, "type": "Opaque", "data": {}})


def answers(code: int, message: str, where: str = PODS) -> Callable[[FakeCluster], object]:
    return lambda cluster: cluster.faults.add(where, code=code, reason="x", message=message, times=99)


@pytest.mark.parametrize(
    ("break_it", "kubernetes", "code", "said"),
    [
        (skewed, "", 1, "clock: it is 4000 s ahead of the API server's"),
        (other_token, "", 2, "API server: it rejects the credentials"),
        (answers(503, "draining", "version"), "", 4, "API server: GET /version: draining (503 x)"),
        (answers(500, "broken", "version"), "", 4, "API server: GET /version: broken (500 x)"),
        (answers(403, "no", "version"), "", 1, "API server: GET /version: no (403 x)"),
        (answers(404, "no", "version"), "", 1, "API server: GET /version: no (404 x)"),
        (answers(0, "", "version"), "", 4, "API server: the API server http://127.0.0.1"),
        (lambda _: None, 'image_pull_secrets = ["login"]', 1, "pull secret login: it does not exist in namespace default"),
        (opaque_secret, 'image_pull_secrets = ["login"]', 1, "pull secret login: it is not a login to a registry: Opaque"),
        (answers(404, 'namespaces "x" not found'), "", 1, 'pod: POST /api/v1/namespaces/default/pods: namespaces "x"'),
        (
            answers(403, 'pods "x" is forbidden: error looking up service account default/x: serviceaccount "x" not found'),
            "", 1, "pod: the cluster does not take pods with the operator's settings",
        ),
        (
            answers(403, 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'),
            "", 1, "pod: the cluster does not take pods with the operator's settings",
        ),
        (lambda _: None, 'node_selector = {"kubernetes.io/arch" = "x"}', 2, "settings: kubernetes.node_selector asks for"),
    ],
)  # fmt: skip
def test_what_the_cluster_says_is_a_line_with_the_exit_code_of_its_kind(  # noqa: PLR0917 (a row, and the fixtures)
    cluster: FakeCluster, tmp_path: Path, break_it: Callable[[FakeCluster], object], kubernetes: str, code: int, said: str
) -> None:
    settings = settings_of(tmp_path, cluster, kubernetes)
    break_it(cluster)
    done = check("--config", settings)
    assert done.returncode == code, done.stdout
    assert any(said in line for line in faults(done)), done.stdout
    assert "\n      " in done.stdout


@pytest.mark.parametrize(("where", "code"), [("version", 4), (PODS, 4), (REVIEWS, 0)])
def test_a_server_that_hangs_costs_five_seconds_at_most(cluster: FakeCluster, tmp_path: Path, where: str, code: int) -> None:
    settings, over = settings_of(tmp_path, cluster), threading.Event()
    cluster.faults.add(where, times=99, action=lambda: over.wait(30))
    begun = time.monotonic()
    try:
        done = check("--config", settings)
    finally:
        over.set()
    assert done.returncode == code, done.stdout
    assert time.monotonic() - begun < 20  # 5 s, and the start on a busy machine


BROKEN = {
    "missing": None,
    "not TOML": "[kubernetes",
    "binary": "\x00\x01",
    "nested": "a = " + "[" * 100_000,
    "a key that is misspelled": '[kubernetes]\nnamespce = "x"',
    "a key in another table": 'namespace = "x"',
    "wrong types": 'kubernetes = "x"\nbudgets = []',
    "too large": "#" * (2 << 20),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_settings_that_cannot_be_used_are_one_line(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_text(content)
    done = check("--config", path, "--config-toml", path, SPACK_FARM_EXECUTOR_WRM="0")
    assert done.returncode == 2
    assert "(did you mean SPACK_FARM_EXECUTOR_WARM?)\n      unset SPACK_FARM_EXECUTOR_WRM\n" in done.stdout
    assert faults(done)[0].startswith(f"FIX   settings: {path}"[:20])
    if content and "namespce" in content:
        assert "did you mean kubernetes.namespace?" in done.stdout
    if content and content.startswith("namespace"):
        assert "did you mean kubernetes.namespace?" in done.stdout


@pytest.mark.parametrize("path", ["/", "/dev/zero", "/dev/null", "/nonexistent/x", "a\tb"])
def test_files_that_are_none_are_named(path: str) -> None:
    done = check("--config", path, "--config-toml", path)
    assert done.returncode == 2
    assert [line.partition(":")[0] for line in faults(done)] == ["FIX   settings", "FIX   config.toml"]


def leading(server: str, user: str = "") -> str:
    """Return a kubeconfig that leads to a server, by a user with these keys."""
    cluster = f'{{server: "{server}"}}' if server else "{}"
    return (
        f"{{clusters: [{{name: c, cluster: {cluster}}}], users: [{{name: u, user: {{{user}}}}}], current-context: c, "
        "contexts: [{name: c, context: {cluster: c, user: u}}]}"
    )


PLUGIN = "apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never"
KUBECONFIGS = {
    "missing": None,
    "empty": "",
    "not YAML": "{",
    "a list": "[]",
    "no server": leading(""),
    "a host that is none": leading("https://a..b:1"),
    "a port on which nothing listens": leading("https://127.0.0.1:1"),
    "a plugin that is missing": leading("https://127.0.0.1:1", f"exec: {{command: /gone/x, {PLUGIN}}}"),
    "a plugin that hangs": leading("https://127.0.0.1:1", f"exec: {{command: sleep, args: ['60'], {PLUGIN}}}"),
}


@pytest.mark.parametrize("content", KUBECONFIGS.values(), ids=KUBECONFIGS)
def test_a_way_that_leads_to_no_cluster_is_one_line(content: str | None, tmp_path: Path) -> None:
    kubeconfig, settings = tmp_path / "kubeconfig", tmp_path / "settings.toml"
    if content is not None:
        kubeconfig.write_text(content)
    settings.write_text(f'[kubernetes]\nkubeconfig = "{kubeconfig}"\n')
    done = check("--config", settings)
    assert done.returncode in {2, 4}, done.stdout
    assert len(faults(done)) == 1


def test_a_pod_is_run_only_when_asked_for_and_deleted(cluster: FakeCluster, tmp_path: Path) -> None:
    done = check("--config", settings_of(tmp_path, cluster), "--run-pod")
    assert (done.returncode, faults(done)) == (0, []), done.stdout
    assert "ok    pod that runs: scripts could begin after" in done.stdout
    assert [made["kind"] for made in cluster.created] == ["Pod"]
