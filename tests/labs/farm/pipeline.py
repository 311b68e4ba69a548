"""The thread's pipeline: jobs of docs/ci-job.md, a project's protected variables, its mirror in S3, what jobs leave.

The S3 server is versitygw in the cluster's network. Its credentials and the signing key reach jobs as in GitLab: as
masked variables and as files.
"""

import contextlib
import io
import json
import os
import secrets
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.cdash import CDash
from tests.fakes.coordinator.jobs import Job
from tests.fakes.runner_script import Payload, payload
from tests.labs.checkout import ROOT
from tests.labs.cluster.parts import NODE_ADDRESS
from tests.labs.farm.farm import Farm
from tests.labs.farm.network import inside, listener_inside
from tests.labs.farm.page import blocks
from tests.labs.farm.repository import publish_examples
from tests.labs.s3.server import Server, versitygw, versitygw_program

BUCKET = "binaries"
MIRROR = f"s3://{BUCKET}/farm"
_PAGE = (ROOT / "docs/ci-job.md").read_text()
_OURS = {"zlib": "libhello", "libpng": "hello-app", "make -j4": "make -C examples/sources/libhello-1.0", "mine": "libhello"}
"""What stands in the page, and what takes its place here: packages whose sources the checkout has."""


def ours(text: str) -> str:
    """Return a text of the page with the examples' packages."""
    for theirs, mine in _OURS.items():
        text = text.replace(theirs, mine)
    return text


JOBS: dict[str, Any] = {name: job for block in blocks(_PAGE) for name, job in yaml.safe_load(ours(block.text)).items()}
"""The page's jobs by name."""
PREPARE = [
    'python3 examples/prepare.py "$CI_PROJECT_DIR/.spack"',
    'export SPACK_FARM_BUILD_CONFIG_SCOPE="$CI_PROJECT_DIR/.spack/conf"',
]
"""Gives Spack the examples' recipes and sources: there is no network."""
SHARED: dict[str, Any] = JOBS[".build"]
"""What they all extend."""


@contextlib.contextmanager
def running_pipeline(farm: Farm, folder: Path, *, key: Path) -> Iterator["Pipeline"]:
    """Yield a project with its mirror, its secrets and a CDash; the S3 server's buckets are in `folder/data`."""
    with (
        CDash(listener=listener_inside(farm.cluster.init, address=NODE_ADDRESS)) as cdash,
        versitygw(
            versitygw_program(),
            folder,
            address=NODE_ADDRESS,
            within=lambda act: inside(farm.cluster.init, act),
            keys=fresh_keys(),
        ) as store,
    ):
        (folder / "data" / BUCKET).mkdir()
        yield Pipeline(farm, key=key, cdash=cdash, store=store)


class Pipeline:
    """Jobs of one pipeline on the examples' repository."""

    def __init__(self, farm: Farm, *, key: Path, cdash: CDash, store: Server) -> None:
        self._farm = farm
        self.cdash, self.store = cdash, store
        self._source = publish_examples(farm.folder / "repositories", farm.gitlab.url)
        credentials = f"[default]\naws_access_key_id = {store.access_key}\naws_secret_access_key = {store.secret_key}\n"
        self._variables = {
            "builder": [
                variable("SIGNING_KEY", key.read_text(), file=True),
                variable("PUBLIC_KEY", key.with_name("public.asc").read_text(), file=True),
                variable("AWS_ACCESS_KEY_ID", store.access_key, masked=True),
                variable("AWS_SECRET_ACCESS_KEY", store.secret_key, masked=True),
                variable("AWS_ENDPOINT_URL", store.url),
                variable("CDASH", cdash.url),
            ],
            "user": [
                variable("AWS_SHARED_CREDENTIALS_FILE", credentials, file=True),
                variable("AWS_ENDPOINT_URL", store.url),
            ],
            "guest": [variable("CDASH", cdash.url)],
        }
        self.secrets = [store.access_key, store.secret_key, *key.read_text().splitlines()[3:-3]]
        """What must appear nowhere."""

    def submit(self, script: list[str], **changes: Any) -> Job:
        """Let a job wait for the Runner; arguments as for `payload`."""
        return self._farm.gitlab.submit(self.payload(script, **changes))

    def payload(
        self,
        script: list[str],
        *,
        needs: Job | None = None,
        who: str = "builder",
        system: str = "debian12",
        more_variables: Mapping[str, str] | None = None,
        **changes: Any,
    ) -> Payload:
        """Return a job that checks the examples out and uploads its reports; it gets the artifacts of the job that it needs.

        Everything but the script is as in the page's jobs.

        `who` chooses the variables: a `builder` may publish, a `user` reads the mirror, a `guest` has neither's secrets.
        """
        variables = self._source["variables"] | {"CI": "true", "NO_COLOR": "1"} | dict(more_variables or {})
        source = self._source | {"variables": variables}
        return payload(
            [*PREPARE, *script],
            image={"name": f"localhost/{SHARED['image'].replace('debian12', system)}:1", "entrypoint": [""]},
            artifacts=[{"artifact_type": "archive"} | SHARED["artifacts"]],
            dependencies=[needs.as_dependency()] if needs else [],
            secret_variables=self._variables[who],
            **source,
            **{"after": SHARED["after_script"]} | changes,
        )


def variable(key: str, value: str, *, file: bool = False, masked: bool = False) -> dict[str, Any]:
    """Return a variable as GitLab gives a project's: not public."""
    return {"key": key, "value": value, "file": file, "public": False, "masked": masked}


def fresh_keys() -> tuple[str, str]:
    """Return an access key and a secret key that occur in no text by chance."""
    return f"AK{secrets.token_hex(9).upper()}", secrets.token_hex(20)


def signing_key(folder: Path) -> Path:
    """Make a throw-away signing key; return secret.asc, beside public.asc."""
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


def files(job: Job) -> zipfile.ZipFile:
    """Return the job's artifacts. Fails with the job's log if there are none."""
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


def built(job: Job) -> set[str]:
    """Return the names of the packages that a job has built."""
    return {path.split("/")[1].split("-1.0")[0] for path in files(job).namelist() if path.endswith("build.log")}


def texts(job: Job) -> str:
    """Return a job's log and the texts of its artifacts."""
    archive = files(job)
    return "\n".join([job.text, *(archive.read(name).decode("utf-8", "replace") for name in archive.namelist())])


def need_spack(what: str) -> None:
    """Skip a test where the build images have no Spack, naming what does not run."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if not (cache / "spack-farm/spack/v1.1.0/complete").exists():
        pytest.skip(f"no Spack (scripts/get-spack): {what}")
