"""Pipelines of real Spack run job by job: Runner, driver, pods, Spack, S3, CDash; `spack ci generate`'s, and a service's.

Only GitLab and CDash are played: a job's variables are exported by its script, and each job has the artifacts of `generate`.
"""

import json
import shlex
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes.coordinator.jobs import Job
from tests.fakes.coordinator.retries import is_retried
from tests.labs.checkout import ROOT
from tests.labs.cluster.jobs import job_named
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.delegate_pod import TOKEN, running_pod
from tests.labs.farm.farm import Farm, load_images
from tests.labs.farm.pipeline import BUCKET, Pipeline, files, need_spack, running_pipeline, signing_key, telemetry, texts
from tests.labs.pipelines import builds, extended

RETRIED = ["unknown_failure", "api_failure", "stuck_or_timeout_failure", "runner_system_failure", "runner_unsupported"]
"""As Spack's own pipelines have it: a failed script is not among the reasons, and exit codes are not named."""
SCOPE = [  # with its second colon, what stands there of mirrors hides those of the environment
    """sed -i 's/"mirrors:"/"mirrors"/' .spack/conf/mirrors.yaml""",
    'export S3_ENDPOINT_URL="$AWS_ENDPOINT_URL"',
]
EATER = """from spack_repo.builtin_mock.build_systems.generic import Package

from spack.package import *


class HelloEater(Package):
    has_code = False
    version("1.0")

    def install(self, spec, prefix):
        mkdirp(prefix.lib)
        which("sh", required=True)("-c", "head -c 600m /dev/zero | tail -c 600m > /dev/null")
"""
"""A recipe whose build holds 600 MiB for a moment; Spack and the agent need less than 100 MiB beside it."""
EATERS_RECIPE = [
    "recipes=examples/spack_repo/spack_farm_examples/packages",
    f"mkdir -p $recipes/hello_eater && printf %s {shlex.quote(EATER)} > $recipes/hello_eater/package.py",
]


def _manifest(place: str, *specs: str) -> str:
    """Return an environment, with %s for the addresses of S3 and CDash; `place` is the build cache's."""
    destination = {"url": f"s3://{BUCKET}/{place}", "endpoint_url": "%s", "signed": True, "source": False}
    build_job = {"image": "any", "script:": ["spack-farm build --ci"]}
    ci = {
        "target": "gitlab",
        "broken-specs-url": f"s3://{BUCKET}/broken",
        "pipeline-gen": [{"build-job": build_job}, {"any-job": {"retry": {"max": 2, "when:": RETRIED}}}],
    }
    manifest = {
        "specs": specs,
        "view": False,
        "concretizer": {"unify": True, "reuse": False},
        "mirrors:": {
            "sources": {"url": "$CI_PROJECT_DIR/.spack/sources", "binary": False},
            "buildcache-destination": destination,
        },
        "cdash": {"url": "%s", "project": "Spack", "site": "Farm", "build-group": "Nightly"},
        "ci": ci,
    }
    return json.dumps({"spack": manifest})


def _generate(place: str, *specs: str) -> list[str]:
    """Return the script of the job that writes the pipeline."""
    return [
        *SCOPE,
        "mkdir environment spack-farm-out",
        f'printf {shlex.quote(_manifest(place, *specs))} "$AWS_ENDPOINT_URL" "$CDASH" > environment/spack.yaml',
        'export ROOT="$PWD/jobs_scratch_dir"',
        'spack -C .spack/conf -e environment ci generate --artifacts-root "$ROOT" --output-file "$PWD/pipeline.yml"',
        "cp -r jobs_scratch_dir pipeline.yml spack-farm-out/",
    ]


@pytest.fixture(scope="module")
def pipeline(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    load_images(farm.cluster, "build-debian12")
    folder = tmp_path_factory.mktemp("s3")
    with running_pipeline(farm, folder, key=signing_key(tmp_path_factory.mktemp("key"))) as made:
        (folder / "data" / BUCKET / "broken").mkdir()
        (folder / "data" / BUCKET / "broken" / "none").touch()  # Spack can't list what is empty
        yield made


def _jobs(generated: Job) -> dict[str, dict[str, Any]]:
    """Return the jobs, by package, in an order in which they can run; each has the pipeline's variables, too."""
    document: dict[str, Any] = yaml.safe_load(files(generated).read("spack-farm-out/pipeline.yml"))
    stages = {name: number for number, name in enumerate(document.get("stages", []))}
    found = [
        job for job in document.values() if isinstance(job, dict) and "SPACK_JOB_SPEC_PKG_NAME" in job.get("variables", {})
    ]
    found.sort(key=lambda job: stages[job["stage"]])
    shared = document.get("variables", {})
    return {
        job["variables"]["SPACK_JOB_SPEC_PKG_NAME"]: job
        | {"variables": {name: str(value) for name, value in {**shared, **job["variables"]}.items()}}
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
def test_a_generated_pipeline_runs_job_by_job_under_both_executors(farm: Farm, pipeline: Pipeline) -> None:
    need_spack("the pipeline that `spack ci generate` writes, job by job")
    sides = {"ours": farm.gitlab, "official": farm.official}
    specs = ("hello-app", "hello-broken")
    generated = {
        name: side.submit(pipeline.payload(_generate(f"ci-{name}", *specs), after=None)) for name, side in sides.items()
    }
    for job in generated.values():
        assert job.wait().state == "success", job.text
    jobs = {name: _jobs(job) for name, job in generated.items()}
    assert set(jobs["ours"]) == {"compiler-wrapper", "gcc-runtime", "libhello", "hello-app", "hello-broken"}
    done: dict[str, dict[str, Job]] = {name: {} for name in sides}
    for package in jobs["ours"]:
        for name, side in sides.items():
            script = _script(jobs[name][package]["variables"])
            done[name][package] = side.submit(pipeline.payload(script, needs=generated[name], after=None))
        for name in sides:
            job = done[name][package]
            end = job.wait()
            expected = ("failed", 1) if package == "hello-broken" else ("success", 0)
            assert (end.state, end.exit_code or 0) == expected, f"{name}: {job.text}"
    for each in done.values():
        assert telemetry(each["hello-app"], "hello-app")["outcome"] == "built"
        assert "3 packages installed from the mirrors" in each["hello-app"].text
    assert any("registered as broken" in each["hello-broken"].text for each in done.values())
    builds = {file.query["build"] for file in pipeline.cdash.taken}
    assert builds == {job["variables"]["SPACK_CDASH_BUILD_NAME"] for job in jobs["ours"].values()}
    everything = "\n".join(texts(job) for each in done.values() for job in each.values())
    assert [secret for secret in pipeline.secrets if secret in everything] == []

    # what was built is pruned, and a job that runs all the same finds nothing to do
    pruned = farm.official.submit(pipeline.payload(_generate("ci-ours", "hello-app"), after=None))
    assert pruned.wait().state == "success", pruned.text
    assert _jobs(pruned) == {}
    script = _script(jobs["ours"]["hello-app"]["variables"])
    again = farm.official.submit(pipeline.payload(script, needs=pruned, after=None))
    assert again.wait().state == "success", again.text
    assert "no need to build it" in again.text


@pytest.mark.timeout(900)
def test_a_job_that_is_killed_for_memory_is_run_again_one_size_up(farm: Farm, pipeline: Pipeline) -> None:
    """GitLab retries as the pipeline says; Spack's pipelines name system failures only, which `memory.kill` is for."""
    need_spack("a memory kill in the pipeline that `spack ci generate` writes")
    settings = farm.folder / "settings.toml"
    before = settings.read_text()
    settings.write_text(f'{before}memory_limit_overwrite_max_allowed = "1Gi"\n[memory]\nkill = "retry"\n')
    try:
        generated = pipeline.submit([*EATERS_RECIPE, *_generate("ci-eater", "hello-eater")], after=None)
        assert generated.wait().state == "success", generated.text
        job = _jobs(generated)["hello-eater"]
        script = [*EATERS_RECIPE, *_script(job["variables"])]
        info, attempts = job_named("hello-eater"), list[Job]()
        while True:
            limit = {"KUBERNETES_MEMORY_LIMIT": "512Mi"}
            attempts.append(
                pipeline.submit(script, needs=generated, after=None, job_info=info, more_variables=job["variables"] | limit)
            )
            end = attempts[-1].wait()
            if end.state == "success" or not is_retried(job["retry"], end, retries=len(attempts) - 1):
                break
    finally:
        settings.write_text(before)
    first, last = attempts[0], attempts[-1]
    assert [attempt.status for attempt in attempts] == ["failed", "success"], last.text
    assert first.end
    assert first.end.reason == "runner_system_failure"
    assert "hello-eater@1.0" in first.text
    assert "memory_killed (exit code 137)" in first.text
    assert telemetry(first, "hello-eater")["outcome"] == "memory_killed"
    assert "registered as broken" not in first.text
    assert "memory raised to 768 MiB: an earlier attempt of this job was killed at 512 MiB" in last.text
    assert telemetry(last, "hello-eater")["outcome"] == "built"
    assert "published to" in last.text


EXAMPLE: dict[str, Any] = yaml.safe_load((ROOT / "examples/pipeline/spack-farm.gitlab-ci.yml").read_text())
GRAPH_URL = f"s3://{BUCKET}/graph"
OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [deploy/pipelines]
images:
  - {{name: spack-farm-delegate, newName: localhost/spack-farm-delegate, newTag: "1"}}
  - {{name: worker, newName: localhost/spack-farm-build-debian12, newTag: "1"}}
  - {{name: nginx, newName: localhost/nginx, newTag: "1"}}
secretGenerator:
  - {{name: delegate-tokens, literals: [tokens={token}]}}
  - name: pipelines-mirror
    literals: [AWS_ACCESS_KEY_ID={key}, AWS_SECRET_ACCESS_KEY={secret}, S3_ENDPOINT_URL={endpoint}]
configMapGenerator:
  - {{name: examples, files: [examples.tar.gz]}}
patches:
  - target: {{kind: Deployment}}
    patch: |
      kind: Deployment
      metadata: {{name: any}}
      spec:
        template:
          spec:
            initContainers:
              - name: prepare-examples
                image: worker
                command: [sh, -c, "{prepare}"]
                securityContext: {{readOnlyRootFilesystem: true}}
                volumeMounts:
                  - {{name: examples, mountPath: /run/examples.tar.gz, subPath: examples.tar.gz}}
                  - {{name: recipes, mountPath: /run/recipes}}
                  - {{name: scope, mountPath: /etc/spack-scope}}
            containers:
              - name: worker
                resources: {{requests: {{cpu: 50m}}}}
                volumeMounts:
                  - {{name: recipes, mountPath: /run/recipes}}
            volumes:
              - {{name: examples, configMap: {{name: examples}}}}
              - {{name: recipes, emptyDir: {{}}}}
              - {{name: scope, configMap: null, emptyDir: {{}}}}
"""
PREPARE_IN_POD = (
    "cd /run/recipes && tar xzf /run/examples.tar.gz && python3 examples/prepare.py /run/recipes && "
    "cp conf/[!m]*.yaml /etc/spack-scope/"  # its mirrors would hide those of the environment
)


def run_in_order(document: dict[str, Any], submit: Callable[[str], Job]) -> dict[str, Job]:
    """Submit each job once all that it needs has succeeded, as GitLab does; one without needs waits for earlier stages."""
    stages = {name: number for number, name in enumerate(document["stages"])}
    waiting = {name: job for name, job in document.items() if isinstance(job, dict) and "script" in job}
    done: dict[str, Job] = {}
    while waiting:
        ready = [
            name
            for name, job in waiting.items()
            if all(need["job"] in done for need in job.get("needs", []) if "pipeline" not in need)
            and ("needs" in job or all(stages[other["stage"]] >= stages[job["stage"]] for other in waiting.values()))
        ]
        assert ready, sorted(waiting)
        running = {name: submit(name) for name in ready}
        for name, job in running.items():
            assert job.wait().state == "success", f"{name}: {job.text}"
            del waiting[name]
        done |= running
    return done


@pytest.mark.timeout(900)
def test_a_pipeline_of_a_service_runs_in_the_order_of_its_graph_and_is_pruned_afterwards(
    lab: ClusterLab, pipeline: Pipeline, tmp_path: Path
) -> None:
    """The service is deploy/pipelines, the generating job that of examples/pipeline, unchanged."""
    need_spack("a pipeline that a service generates, job by job")
    store = pipeline.store
    with tarfile.open(tmp_path / "examples.tar.gz", "w:gz") as tar:
        tar.add(ROOT / "examples", "examples", filter=lambda member: None if "__pycache__" in member.name else member)
    overlay = OVERLAY.format(
        namespace=NAMESPACE,
        token=TOKEN,
        key=store.access_key,
        secret=store.secret_key,
        endpoint=store.url,
        prepare=PREPARE_IN_POD,
    )
    with running_pod(lab, tmp_path, "pipelines", overlay) as service:
        exported = {
            "BUILDCACHE": GRAPH_URL,
            "GENERATOR_URL": f"http://{service.ready_address()}",
            "GENERATOR_TOKEN": "/tmp/token",
        }
        given = [
            *(f"export {name}={shlex.quote(value)}" for name, value in exported.items()),
            "export SPACK_PIPELINE_TYPE=spack_protected_branch",
        ]
        generating = [*SCOPE, *given, f"printf {TOKEN} > /tmp/token", "cp -r examples/pipeline/environment ."]
        keeping = ["mkdir spack-farm-out", "cp -r request.json jobs_scratch_dir pipeline spack-farm-out/"]
        generated = pipeline.submit([*generating, *EXAMPLE["generate"]["script"], *keeping], after=None)
        assert generated.wait().state == "success", generated.text
        document = extended(yaml.safe_load(files(generated).read("spack-farm-out/pipeline/pipeline.yml")))
        assert {name.partition("@")[0] for name in builds(document)} == {
            "compiler-wrapper", "gcc-runtime", "libhello", "hello-app",
        }  # fmt: skip
        request = files(generated).read("spack-farm-out/request.json").decode()
        status, cache, *_ = service.ask(request)
        assert (status, cache) == ("200", "HIT"), "the same request computes nothing"
        first = service.address(request)

        def submit(name: str) -> Job:
            variables = document["variables"] | document[name].get("variables", {})
            own = {key: str(value) for key, value in variables.items()}
            script = _script(own)[:-1] + given + document[name]["script"]
            return pipeline.submit(script, needs=generated, after=None)

        done = run_in_order(document, submit)
        (last,) = (job for name, job in done.items() if name.startswith("hello-app@"))
        assert "3 packages installed from the mirrors" in last.text
        assert service.address(request) != first, "what was pushed gives the result another address"
        status, cache, *words = service.ask(request)
        answer = json.loads(" ".join(words))
        assert (status, cache, answer["counts"]["build"]) == ("200", "MISS", 0)
        assert "no-specs-to-rebuild" in answer["files"]["pipeline/pipeline.yml"]
    assert store.folder
    manifests = [path.read_bytes() for path in (store.folder / BUCKET / "graph/v3/manifests/spec").glob("*/*")]
    assert len(manifests) == len(builds(document))
    assert all(each.startswith(b"-----BEGIN PGP SIGNED MESSAGE-----") for each in manifests)
