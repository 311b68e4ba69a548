"""A job of several packages on GitLab's page: short when all is well, and the error in sight when not; links and tests."""

import json
from pathlib import Path

import junitparser
import pytest

from tests.labs.gitlab_log import visible_lines
from tests.labs.spack.lab import SpackLab

pytestmark = pytest.mark.spack
JOB = "https://gitlab.site/g/p/-/jobs/17"


@pytest.mark.timeout(400)
def test_a_log_of_five_packages_is_short_and_ends_with_the_first_error(lab: SpackLab, tmp_path: Path) -> None:
    (tmp_path / "scope").mkdir()
    (tmp_path / "scope/config.yaml").write_text(json.dumps({"config": {"install_tree": {"root": str(tmp_path / "opt")}}}))
    variables = {"GITLAB_CI": "true", "CI_JOB_ID": "17", "CI_JOB_URL": JOB, "CI_PROJECT_DIR": str(tmp_path)}
    options = ("-C", tmp_path / "scope", "--out", tmp_path / "out", "--mirror", tmp_path / "mirror", "--unsigned")

    done = lab.build("hello-app", "hello-tested", *options, environment=variables, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = visible_lines(done.stdout)
    built = [line for line in shown if ": Built in " in line]
    assert len(built) == 5, done.stdout  # with libhello, gcc-runtime and compiler-wrapper
    assert len(shown) <= 40, "\n".join(shown)
    assert "Executing phase: 'install'" in done.stdout
    assert not any("Executing phase" in line for line in shown)
    for folder in (tmp_path / "out").glob("*-*/"):
        (suite,) = junitparser.JUnitXml.fromstring((folder / "junit.xml").read_bytes())
        assert (suite.tests, suite.failures, suite.errors) == (1, 0, 0)

    done = lab.build("hello-needs-broken", "hello-broken", *options, environment=variables)
    assert done.returncode == 1, done.stdout + done.stderr
    shown = visible_lines(done.stdout)
    error = next(line for line in shown[-15:] if line.startswith("  first error: build.log:"))
    assert "broken.c" in error
    assert any(line.startswith(f"  help: spack-farm build --reproduce {JOB} --hash ") for line in shown[-15:])
    assert len(shown) <= 60, "\n".join(shown)
    assert not any(line.startswith("  phase ") for line in shown)
    links = json.loads((tmp_path / "out/annotations.json").read_text())["spack-farm"]
    # of all packages; of both calls: five pages, the failure's page, its log's page and log, the page of what was not built
    assert len(links) == 10
    assert {Path(link["external_link"]["url"]).name for link in links} >= {
        "report.html",
        "log.html",
        "build.log",
        "index.html",
    }
    assert all(link["external_link"]["url"].startswith(f"{JOB}/artifacts/file/out/") for link in links)
