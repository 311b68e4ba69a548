"""From a job in GitLab's queue to a binary that stock Spack installs, on real parts all the way.

Coordinator, GitLab Runner, driver, a pod of the build image, Git and gitlab-runner-helper, Spack, gpg: only GitLab and
CDash are played. One pipeline: `library` builds and publishes; `application` takes the library's binary and builds on it;
`broken` fails on purpose; `user` installs with stock Spack, signatures checked. The mirror travels as an artifact.
"""

import io
import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lxml.etree
import pytest

from tests.e2e.cluster.parts import NODE_ADDRESS
from tests.e2e.farm import Farm, load_images
from tests.e2e.network import listener_inside
from tests.e2e.repository import publish_examples
from tests.e2e.test_real_runner import plain
from tests.fakes.cdash import CDash
from tests.fakes.coordinator.jobs import Job
from tests.fakes.coordinator.server import Coordinator
from tests.fakes.runner_script import Payload, payload

IMAGE = "localhost/spack-farm-build-debian12:1"
ARTIFACTS = [{"paths": ["mirror/", "spack-farm-out/", "public.asc"], "when": "always", "artifact_type": "archive"}]
CACHE = [{"key": "setup", "paths": [".cached/"], "policy": "pull-push", "when": "on_success"}]
PREPARE = 'rm -rf spack-farm-out; python3 examples/prepare.py "$CI_PROJECT_DIR/.spack" > /dev/null'
BUILD = 'spack-farm build -C .spack/conf --mirror mirror --signing-key-file "$SIGNING_KEY"'
REPORT = "for each in spack-farm-out/*/cdash; do spack-farm ctest submit $each --url {url} --project Spack; done"
COMMAND = 'spack-farm build --command "make -C examples/sources/libhello-1.0" --name libhello --version 1.0'
STOCK = [
    "mkdir -p .other/conf",
    """printf 'config: {install_tree: {root: %s}}' "$PWD/.other/opt" > .other/conf/config.yaml""",
    """printf 'mirrors:: {m: {url: "file://%s", signed: true}}' "$PWD/mirror" > .other/conf/mirrors.yaml""",
    "export SPACK_GNUPGHOME=$PWD/.other/gpg SPACK_USER_CACHE_PATH=$PWD/.other/cache SPACK_DISABLE_LOCAL_CONFIG=1",
    "spack -C .spack/conf -C .other/conf install --cache-only hello-app && exit 9 || echo untrusted is refused",
    "spack -C .spack/conf -C .other/conf gpg trust public.asc",
    "spack -C .spack/conf -C .other/conf install --cache-only hello-app",
    ".other/opt/*/hello-app-1.0-*/bin/hello-app thread",
]


class Pipeline:
    """Jobs of one pipeline on the examples' repository."""

    def __init__(self, farm: Farm, key: Path, cdash: CDash) -> None:
        self._farm = farm
        self.cdash = cdash
        self._source = publish_examples(farm.folder / "repositories", farm.gitlab.url)
        secret = {"key": "SIGNING_KEY", "value": key.read_text(), "file": True, "public": False, "masked": False}
        public = {"key": "PUBLIC_KEY", "value": key.with_name("public.asc").read_text(), "file": True, "public": True}
        self._secrets = [secret, public | {"masked": False}]

    def submit(self, script: list[str], *, needs: Job | None = None, **changes: Any) -> Job:
        """Let a job wait for the Runner; it gets the artifacts of the job that it needs."""
        return self._farm.gitlab.submit(self.payload(script, needs=needs, **changes))

    def payload(self, script: list[str], *, needs: Job | None = None, signs: bool = True, **changes: Any) -> Payload:
        """Return a job that checks the examples out, and uploads mirror and reports; the keys are file variables."""
        source = self._source | {"variables": self._source["variables"] | {"CI": "true", "NO_COLOR": "1"}}
        dependencies = [needs.as_dependency()] if needs else []
        return payload(
            script,
            image={"name": IMAGE, "entrypoint": [""]},
            artifacts=ARTIFACTS,
            after=[REPORT.format(url=self.cdash.url)],
            dependencies=dependencies,
            secret_variables=self._secrets if signs else [],
            **source,
            **changes,
        )


def files(job: Job) -> zipfile.ZipFile:
    """Return the job's artifacts."""
    archive = job.artifact()
    assert archive is not None, job.text
    return zipfile.ZipFile(io.BytesIO(archive.content))


def telemetry(job: Job, name: str) -> dict[str, Any]:
    """Return the document of a package's run among the job's artifacts."""
    archive = files(job)
    (path,) = [
        path for path in archive.namelist() if path.startswith(f"spack-farm-out/{name}") and path.endswith("telemetry.json")
    ]
    document: dict[str, Any] = json.loads(archive.read(path))
    return document


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away signing key: secret.asc, beside public.asc."""
    folder = tmp_path_factory.mktemp("key")
    home = Path(subprocess.run(["mktemp", "-d", "/tmp/g-XXXXXX"], check=True, capture_output=True, text=True).stdout.strip())
    gpg = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run(
        [*gpg, "--quick-gen-key", "farm <farm@localhost>", "ed25519", "sign", "never"], check=True, capture_output=True
    )
    for name, word in (("secret.asc", "--export-secret-keys"), ("public.asc", "--export")):
        text = subprocess.run([*gpg, "--armor", word], check=True, capture_output=True).stdout
        (folder / name).write_bytes(text)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)
    subprocess.run(["rm", "-rf", str(home)], check=True)
    return folder / "secret.asc"


@pytest.fixture(scope="module")
def pipeline(farm: Farm, key: Path) -> Iterator[Pipeline]:
    load_images(farm.cluster, "build-debian12")
    with CDash(listener=listener_inside(farm.cluster.init, address=NODE_ADDRESS)) as cdash:
        yield Pipeline(farm, key, cdash)


@pytest.mark.timeout(900)  # the first one here loads 640 MiB of image, on a machine that may be busy
def test_a_pipeline_of_spack_builds_ends_in_binaries_that_stock_spack_installs(pipeline: Pipeline) -> None:
    need_spack()
    pipeline.cdash.taken.clear()  # other tests here have reported theirs
    mark = "mkdir -p .cached && ls .cached && echo $CI_JOB_NAME >> .cached/stamp"
    library = pipeline.submit([mark, PREPARE, 'cp "$PUBLIC_KEY" public.asc', f"{BUILD} libhello"], cache=CACHE)
    assert library.wait().state == "success", library.text
    assert telemetry(library, "libhello")["outcome"] == "built"
    assert telemetry(library, "libhello")["publish"]["state"] == "published"
    assert telemetry(library, "libhello")["job"]["id"] == str(library.number)

    application = pipeline.submit([mark, PREPARE, f"{BUILD} hello-app"], needs=library, cache=CACHE)
    broken = pipeline.submit([PREPARE, f"{BUILD} hello-broken"], needs=library)
    assert application.wait().state == "success", application.text
    assert "stamp" in plain(application.text).splitlines(), "the cache of the first job is there"
    assert telemetry(application, "hello-app")["outcome"] == "built"
    built = {path.split("/")[1].split("-1.0")[0] for path in files(application).namelist() if path.endswith("build.log")}
    assert built == {"hello-app"}, "the library came from the mirror"

    end = broken.wait()
    assert (end.reason, end.exit_code) == ("script_failure", 1), broken.text
    error = telemetry(broken, "hello-broken")["first_error"]["text"]
    assert "error" in error
    assert error in "\n".join(plain(broken.text).splitlines()[-60:])
    (page,) = [path for path in files(broken).namelist() if "hello-broken" in path and path.endswith("report.html")]
    assert "broken.c" in files(broken).read(page).decode()

    assert_reported(pipeline.cdash, errors={"libhello": False, "hello-app": False, "hello-broken": True})

    user = pipeline.submit([PREPARE, *STOCK], needs=application)
    assert user.wait().state == "success", user.text
    said = plain(user.text).splitlines()
    assert "untrusted is refused" in said
    assert said[said.index(f"$ {STOCK[-1]}") + 1] == "Hello from libhello, thread"


@pytest.mark.parametrize("executor", ["official", "shell"])
def test_the_agent_needs_nothing_of_our_driver(farm: Farm, pipeline: Pipeline, executor: str) -> None:
    gitlab: Coordinator = getattr(farm, executor)
    job = gitlab.submit(pipeline.payload([COMMAND], signs=False))
    assert job.wait().state == "success", job.text
    assert telemetry(job, "libhello-1.0")["outcome"] == "built"


def test_without_spack_the_same_pod_measures_a_command(pipeline: Pipeline) -> None:
    job = pipeline.submit([COMMAND])
    assert job.wait().state == "success", job.text
    document = telemetry(job, "libhello-1.0")
    assert document["outcome"] == "built"
    assert document["totals"]["cpu_seconds"] > 0
    assert document["job"]["id"] == str(job.number)
    assert any(path.endswith("report.html") for path in files(job).namelist())


def assert_reported(cdash: CDash, *, errors: dict[str, bool]) -> None:
    """Each package's documents came once, Done last, and a failed one's first error is among them."""
    for name, failed in errors.items():
        taken = [file for file in cdash.taken if file.query["build"].split()[0] == name]
        names = [file.name for file in taken]
        assert len(names) == len(set(names)), names
        assert {"Build.xml", "Notes.xml", "Upload.xml", "Done.xml"} <= set(names), name
        assert names[-1] == "Done.xml"
        build = lxml.etree.fromstring(next(file.body for file in taken if file.name == "Build.xml"))
        assert bool(build.findall(".//Error")) == failed, name


def need_spack() -> None:
    """Skip a test where the build image has no Spack."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if not (cache / "spack-farm/spack/v1.1.0/complete").exists():
        pytest.skip("no Spack (scripts/get-spack): the thread of Spack builds; `build --command` ran in the same pods")
