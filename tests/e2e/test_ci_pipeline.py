"""The pipeline that real `spack ci generate` writes in a pod runs job by job: Runner, driver, pods, Spack, S3, CDash.

Only GitLab and CDash are played: a job's variables are exported by its script, and each job has the artifacts of `generate`.
"""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.fakes.cdash import CDash
from tests.fakes.coordinator.jobs import Job
from tests.labs.cluster.parts import NODE_ADDRESS
from tests.labs.farm.farm import Farm, load_images
from tests.labs.farm.network import inside, listener_inside
from tests.labs.farm.pipeline import BUCKET, Pipeline, files, fresh_keys, need_spack, signing_key, telemetry, texts
from tests.labs.s3.server import versitygw, versitygw_program

URL = f"s3://{BUCKET}/ci"
MANIFEST = (
    '{"spack": {"specs": ["hello-app", "hello-broken"], "view": false, "concretizer": {"unify": true, "reuse": false},'
    ' "mirrors:": {"sources": {"url": "$CI_PROJECT_DIR/.spack/sources", "binary": false},'
    f' "buildcache-destination": {{"url": "{URL}", "endpoint_url": "%s", "signed": true, "source": false}}}},'
    ' "cdash": {"url": "%s", "project": "Spack", "site": "Farm", "build-group": "Nightly"},'
    f' "ci": {{"target": "gitlab", "broken-specs-url": "s3://{BUCKET}/broken", "pipeline-gen": [{{"build-job":'
    ' {"image": "any", "script:": ["spack-farm build --ci"]}}]}}}'
)
SCOPE = [  # what stands there of mirrors would hide those of the environment
    "rm .spack/conf/mirrors.yaml",
    'export S3_ENDPOINT_URL="$AWS_ENDPOINT_URL"',
]
GENERATE = [
    *SCOPE,
    "mkdir environment spack-farm-out",
    f'printf {shlex.quote(MANIFEST)} "$AWS_ENDPOINT_URL" "$CDASH" > environment/spack.yaml',
    'export ROOT="$PWD/jobs_scratch_dir"',
    'spack -C .spack/conf -e environment ci generate --artifacts-root "$ROOT" --output-file "$PWD/pipeline.yml"',
    "cp -r jobs_scratch_dir pipeline.yml spack-farm-out/",
]


@pytest.fixture(scope="module")
def pipeline(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    load_images(farm.cluster, "build-debian12")
    folder = tmp_path_factory.mktemp("s3")
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
        (folder / "data" / BUCKET / "broken").mkdir(parents=True)
        (folder / "data" / BUCKET / "broken" / "none").touch()  # Spack can't list what is empty
        yield Pipeline(farm, key=signing_key(tmp_path_factory.mktemp("key")), cdash=cdash, store=store)


def _jobs(generated: Job) -> dict[str, dict[str, str]]:
    """Return the variables of each job, by package, in an order in which the jobs can run."""
    document: dict[str, Any] = yaml.safe_load(files(generated).read("spack-farm-out/pipeline.yml"))
    stages = {name: number for number, name in enumerate(document.get("stages", []))}
    found = [
        job for job in document.values() if isinstance(job, dict) and "SPACK_JOB_SPEC_PKG_NAME" in job.get("variables", {})
    ]
    found.sort(key=lambda job: stages[job["stage"]])
    shared = {name: str(value) for name, value in document.get("variables", {}).items()}
    return {
        job["variables"]["SPACK_JOB_SPEC_PKG_NAME"]: shared | {name: str(value) for name, value in job["variables"].items()}
        for job in found
    }


def _script(variables: dict[str, str]) -> list[str]:
    return [
        "cp -r spack-farm-out/jobs_scratch_dir .",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        'export SPACK_PIPELINE_TYPE=spack_protected_branch SPACK_SIGNING_KEY="$(base64 -w0 "$SIGNING_KEY")"',
        *SCOPE,
        "spack-farm build --ci --out spack-farm-out",
    ]


@pytest.mark.timeout(900)  # the first one loads 320 MiB of image, on a machine that may be busy
def test_a_generated_pipeline_runs_job_by_job(farm: Farm, pipeline: Pipeline) -> None:
    need_spack("the pipeline that `spack ci generate` writes, job by job")
    generated = pipeline.submit(GENERATE, after=None)
    assert generated.wait().state == "success", generated.text
    jobs = _jobs(generated)
    assert set(jobs) == {"compiler-wrapper", "gcc-runtime", "libhello", "hello-app", "hello-broken"}
    done = {}
    for package, variables in jobs.items():
        job = done[package] = pipeline.submit(_script(variables), needs=generated, after=None)
        end = job.wait()
        expected = ("failed", 1) if package == "hello-broken" else ("success", 0)
        assert (end.state, end.exit_code or 0) == expected, job.text
    assert telemetry(done["hello-app"], "hello-app")["outcome"] == "built"
    assert "3 packages installed from the mirrors" in done["hello-app"].text
    assert "registered as broken" in done["hello-broken"].text
    builds = {file.query["build"] for file in pipeline.cdash.taken}
    assert builds == {variables["SPACK_CDASH_BUILD_NAME"] for variables in jobs.values()}
    everything = "\n".join(texts(job) for job in done.values())
    assert [secret for secret in pipeline.secrets if secret in everything] == []

    # the peer: what was built is pruned, and a job that runs all the same finds nothing to do
    fewer = [line.replace('["hello-app", "hello-broken"]', '["hello-app"]') for line in GENERATE]
    pruned = farm.official.submit(pipeline.payload(fewer, after=None))
    assert pruned.wait().state == "success", pruned.text
    assert _jobs(pruned) == {}
    again = farm.official.submit(pipeline.payload(_script(jobs["hello-app"]), needs=pruned, after=None))
    assert again.wait().state == "success", again.text
    assert "no need to build it" in again.text
