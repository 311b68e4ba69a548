"""`executor check` as an operator's only guide: three planted mistakes are found and mended, and a pod runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.labs.checkout import ROOT
from tests.labs.cluster.lab import NAMESPACE, ClusterLab

USER = "checked"


def check(lab: ClusterLab, *words: str | Path) -> subprocess.CompletedProcess[str]:
    argv = [*lab.inside, sys.executable, "-m", "executor", "check", "--runner-version", "19.4.0", *map(str, words)]
    environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment, timeout=100)


def user_without(lab: ClusterLab, resource: str, verb: str) -> str:
    """Make a service account with the manual's Role but one right; return a token of it."""
    documents = list(yaml.safe_load_all((ROOT / "docs/reference/rbac.yaml").read_text()))
    for document in documents:
        document["metadata"] |= {"namespace": NAMESPACE, "name": USER}
        for rule in document.get("rules", []):
            if rule["resources"] == [resource]:
                rule["verbs"].remove(verb)
        if document["kind"] == "RoleBinding":
            document["roleRef"]["name"] = USER
            document["subjects"] = [{"kind": "ServiceAccount", "name": USER, "namespace": NAMESPACE}]
    lab.kubectl("apply", "-f", "-", text="\n---\n".join(map(json.dumps, documents)))
    return lab.kubectl("create", "token", USER, "-n", NAMESPACE).strip()


def test_three_planted_mistakes_are_found_and_mended_by_the_lines_alone(lab: ClusterLab, tmp_path: Path) -> None:
    kubeconfig, settings, runners_file = tmp_path / "kubeconfig", tmp_path / "settings.toml", tmp_path / "config.toml"
    access = yaml.safe_load(lab.kubeconfig.read_text())
    access["users"] = [
        {"name": user["name"], "user": {"token": user_without(lab, "secrets", "patch")}} for user in access["users"]
    ]
    kubeconfig.write_text(yaml.safe_dump(access))
    written = (
        f'[kubernetes]\nnamespace = "{NAMESPACE}"\nkubeconfig = "{kubeconfig}"\nimage = "localhost/busybox:1"\n'
        'helper_image = "localhost/busybox:1"\npull_policy = "never"\n'
    )
    settings.write_text(f'{written}service_account = "spack-farms"\n')
    example = (ROOT / "config.toml.example").read_text().replace("/etc/spack-farm/settings.toml", str(settings))
    example = example.replace("gitlab.example.com", "gitlab.site").replace("REPLACE-ME", "x")
    example = example.replace('_exec = "spack-farm"', f'_exec = "{sys.executable}"')
    runners_file.write_text(example.replace("prepare_exec_timeout = 3000", "prepare_exec_timeout = 300"))
    runners_file.chmod(0o600)
    words = ("--config", settings, "--config-toml", runners_file)

    done = check(lab, *words)
    assert done.returncode == 2, done.stdout + done.stderr  # a file is mended first
    found = [line for line in done.stdout.splitlines() if line.startswith("FIX")]
    assert len(found) == 3, done.stdout
    (limit,) = re.findall(r"^ +(prepare_exec_timeout = \d+)", done.stdout, re.MULTILINE)
    assert f"this user cannot patch secrets in namespace {NAMESPACE}" in done.stdout
    assert "kubernetes.service_account" in done.stdout

    runners_file.write_text(re.sub("prepare_exec_timeout = 300", limit, runners_file.read_text()))
    assert check(lab, *words).returncode == 1
    settings.write_text(written)
    role = (ROOT / "docs/reference/rbac.yaml").read_text()
    role = role.replace("namespace: default\n", f"namespace: {NAMESPACE}\n").replace("spack-farm-executor", USER)
    lab.kubectl("apply", "-f", "-", text=yaml.safe_dump(list(yaml.safe_load_all(role))[1]))
    done = check(lab, *words, "--run-pod")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok    pod that runs: scripts could begin after" in done.stdout
