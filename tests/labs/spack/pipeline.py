"""A project with the pipeline that real `spack ci generate` writes for the examples, and its jobs, run one after another.

Each job has an install tree of its own, as a fresh container has, and the variables that GitLab and the pipeline give it.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.labs.checkout import ROOT
from tests.labs.spack.lab import SpackLab

ARTIFACTS = "jobs_scratch_dir"
SPECS = ("hello-app", "hello-broken")


def own_checkout(lab: SpackLab, folder: Path) -> Path:
    """Return a checkout that shares all but its configuration with the lab's Spack.

    The lab's may have a configuration of its own, which is stronger than the user's: a repository of 8,000 packages.
    """
    folder.mkdir()
    for path in lab.spack.root.iterdir():
        if path.name not in {"bin", "etc", "opt"}:
            (folder / path.name).symlink_to(path)
    shutil.copytree(lab.spack.root / "bin", folder / "bin", symlinks=True)
    shutil.copytree(lab.spack.root / "etc", folder / "etc", symlinks=True)
    for name in ("repos.yaml", "packages.yaml"):
        (folder / "etc" / "spack" / name).unlink(missing_ok=True)
    return folder


class PipelineProject:
    """A folder with an environment, and what `spack ci generate` makes of it."""

    def __init__(
        self,
        lab: SpackLab,
        folder: Path,
        *,
        destination: Mapping[str, object],
        specs: Sequence[str] = SPECS,
        mirrors: Mapping[str, object] | None = None,
        ci: Mapping[str, object] | None = None,
        **sections: object,
    ) -> None:
        """Write the environment. `destination` is the mirror that binaries go to; `ci` joins that section."""
        self.lab, self.folder = lab, folder
        self.scratch = folder.parent / f"{folder.name}-scratch"
        self.scratch.mkdir()
        one_line = {"image": "img", "tags": ["spack"], "script:": ["spack-farm build --ci"]}
        section = {"target": "gitlab", "pipeline-gen": [{"build-job": one_line}], **(ci or {})}
        manifest = {
            "specs": list(specs),
            "view": False,
            "concretizer": {"unify": True, "reuse": False},
            # stronger than the user's configuration: Spack's own checkout may name the repository of all packages
            **json.loads((lab.scope / "repos.yaml").read_text()),
            "mirrors:": {
                "buildcache-destination": {"binary": True, "source": False, **destination},
                "sources": {"url": str(lab.folder / "sources"), "source": True, "binary": False},
                **(mirrors or {}),
            },
            "ci": section,
            **sections,
        }
        (folder / "env").mkdir(parents=True)
        (folder / "env" / "spack.yaml").write_text(json.dumps({"spack": manifest}))
        root = own_checkout(lab, self.scratch / "spack")
        self.program = root / "bin" / "spack"
        self.environment = lab.environment | {
            "SPACK_ROOT": str(root),
            "SPACK_USER_CONFIG_PATH": str(self._scope()),
            "SPACK_SYSTEM_CONFIG_PATH": str(folder / "none"),
            "PATH": f"{root}/bin:{lab.environment['PATH']}:{lab.spack.tools or ''}",
            "SPACK_GNUPGHOME": str(self.scratch / "gpg"),
            "CI": "true",
            "CI_PROJECT_DIR": str(folder),
        }
        del self.environment["SPACK_DISABLE_LOCAL_CONFIG"]
        self.pipeline: dict[str, Any] = {}

    def _scope(self) -> Path:
        """Return the user's configuration: the lab's, with an install tree that each job gets anew."""
        scope = self.scratch / "conf"
        shutil.copytree(self.lab.scope, scope)
        config = json.loads((scope / "config.yaml").read_text())
        config["config"] |= {
            "install_tree": {"root": str(self.scratch / "opt")},
            "build_stage": [str(self.scratch / "stage")],
        }
        (scope / "config.yaml").write_text(json.dumps(config))
        return scope

    def spack(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run stock Spack as the project's user."""
        return self._run([str(self.program), *map(str, words)], self.folder, variables)

    def generate(self, **variables: str) -> dict[str, Any]:
        """Run real `spack ci generate`; return the pipeline that it writes."""
        target = self.folder / "pipeline.yml"
        shutil.rmtree(self.folder / ARTIFACTS, ignore_errors=True)
        arguments = ("--output-file", target, "--artifacts-root", self.folder / ARTIFACTS)
        done = self.spack("-e", self.folder / "env", "ci", "generate", *arguments, **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        self.pipeline = yaml.safe_load(target.read_text())
        return self.pipeline

    @property
    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs that build something: package -> job, in an order in which they can run."""
        found = {name: job for name, job in self.pipeline.items() if isinstance(job, dict) and "needs" in job}
        order = {stage: number for number, stage in enumerate(self.pipeline["stages"])}
        inorder = sorted(found.items(), key=lambda item: order[item[1]["stage"]])
        return {
            job["variables"]["SPACK_JOB_SPEC_PKG_NAME"]: job | {"name": name}
            for name, job in inorder
            if "SPACK_JOB_SPEC_PKG_NAME" in job.get("variables", {})
        }

    def variables(self, package: str) -> dict[str, str]:
        """Return the variables of a job, as the Runner gives them."""
        job = self.jobs[package]
        given = {**self.pipeline["variables"], **job["variables"]}
        environment = self.folder / str(given["SPACK_CONCRETE_ENV_DIR"])
        return {name: str(value) for name, value in given.items()} | {
            "CI_JOB_NAME": job["name"],
            "CI_JOB_ID": "77",
            "CI_PROJECT_ID": "5",
            "CI_PIPELINE_ID": "9",
            "CI_API_V4_URL": "http://127.0.0.1:1/api/v4",
            "CI_JOB_URL": "http://127.0.0.1:1/group/project/-/jobs/77",
            "CI_PIPELINE_URL": "http://127.0.0.1:1/group/project/-/pipelines/9",
            "SPACK_ENV": str(environment),
        }

    def rebuild(
        self, package: str, *options: str | Path, within: Sequence[str] = (), **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one job with the agent, in a fresh install tree; `within` is a command line that runs another one."""
        argv = [*within, sys.executable, str(ROOT / "spack_farm/__main__.py"), "build", "--ci", *map(str, options)]
        return self._job(package, argv, variables)

    def stock_rebuild(self, package: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one job with `spack ci rebuild`, in a fresh install tree."""
        return self._job(package, [str(self.program), "ci", "rebuild", *options], variables)

    def _job(self, package: str, argv: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        shutil.rmtree(self.scratch / "opt", ignore_errors=True)
        shutil.rmtree(self.scratch / "stage", ignore_errors=True)
        given = self.variables(package) | dict(variables)
        return self._run(argv, Path(given["SPACK_ENV"]), given)

    def _run(self, argv: list[str], cwd: Path, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            input="",
            capture_output=True,
            text=True,
            errors="replace",
            env=self.environment | dict(variables),
            cwd=cwd,
            timeout=150,
            check=False,
        )

    @property
    def artifacts(self) -> Path:
        """Where the jobs leave what GitLab keeps."""
        return self.folder / ARTIFACTS
