"""The generator on a real Spack, beside `spack ci generate`: the same jobs in the same order; and odd input."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from buildjob.spack.find import SpackInstallation
from pipelines.job_graph import digest
from pipelines.job_graph import read as read_graph
from tests.labs.checkout import ROOT
from tests.labs.pipelines import Generators, builds, entries, put_index_in_folder, waits_for
from tests.labs.spack.lab import SpackLab

pytestmark = [pytest.mark.spack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def generators(spack: SpackInstallation, tmp_path_factory: pytest.TempPathFactory) -> Generators:
    """The examples' environment, concretized once, with a mirror that has no index."""
    folder = tmp_path_factory.mktemp("pipelines")
    made = Generators(SpackLab(folder, spack), folder)
    made.write()
    done = made.spack("-e", made.environment_folder, "concretize")
    assert done.code == 0, done.output
    return made


@pytest.fixture(autouse=True)
def _as_it_was(generators: Generators) -> Iterator[None]:
    yield
    generators.variables.clear()
    generators.write()
    # Spack goes by the index that it has kept of a mirror which has none any more
    for name in ("mirror", "misc_cache/indices", "pipeline"):
        shutil.rmtree(generators.folder / name, ignore_errors=True)


def test_the_jobs_and_their_order_are_those_of_spacks_own_generator(generators: Generators) -> None:
    peer, ours = generators.peer(), generators.ours()
    assert (peer.code, ours.code) == (0, 0), peer.output + ours.output
    mine, theirs = generators.pipeline(), generators.peers_pipeline()
    assert len(builds(mine)) == 5
    assert builds(mine) == builds(theirs)
    assert waits_for(mine) == waits_for(theirs)
    for name in builds(theirs):
        differing = {
            key for key, value in theirs[name]["variables"].items() if str(mine[name]["variables"].get(key)) != str(value)
        }
        assert differing == set(), name
        assert (mine[name]["tags"], mine[name]["image"]) == (theirs[name]["tags"], theirs[name]["image"])


SECTION: dict[str, Any] = {
    "target": "gitlab",
    "broken-tests-packages": ["gptune"],
    "rebuild-index": True,
    "pipeline-gen": [
        {
            "any-job": {
                "tags": ["every", "public"],
                "variables": {"WHO": "any", "PATH_+:": "x"},
                "before_script": [["- uname"], "id"],
                "services:": ["strong"],
                "environment-:": "-strong",
                "resource_group+:": "strong-",
            }
        },
        {"any-job-remove": {"tags": ["gone"]}},
        {
            "build-job": {
                "image": {"name": "a:1", "entrypoint": [""]},
                "tags": ["gone", "spack"],
                "variables": {"CI_JOB_SIZE": "default"},
            }
        },
        {"build-job-remove": {"variables": {"NOT": "here"}}},
        {
            "submapping": [
                {
                    "match": ["@1.0 %gcc", "hello-app"],
                    "build-job": {"variables": {"CI_JOB_SIZE": "small", "KUBERNETES_CPU_REQUEST": 1.5}},
                },
                {"match": ["os=none"], "build-job": {"variables": {"CI_JOB_SIZE": "never"}}},
                {
                    "match": ["libhello"],
                    "build-job": {"tags": ["large"]},
                    "build-job-remove": {"variables": {"CI_JOB_SIZE": "x"}},
                },
            ]
        },
        {
            "match_behavior": "merge",
            "submapping": [
                {"match": ["hello-app"], "build-job": {"variables": {"A": "1", "B": "1"}}},
                {
                    "match": ["hello-broken", "hello-app"],
                    "build-job": {"variables": {"A": "2", "C": "2"}, "timeout": "1 hour"},
                },
            ],
        },
        {"build-job": {"after_script": ["echo done"], "tags:": ["only", "these"], "id_tokens": {"T": {"aud": "x"}}}},
        {"build-job": {"script:": ["echo mine"], "services": ["weak"], "environment": "weak", "resource_group": "weak"}},
        {"noop-job": {"script": ["echo nothing"]}},
        {"reindex-job": {"tags": ["service"]}},
        {"cleanup-job": {"tags": ["service"]}},
        {"copy-job": {"script": ["echo copy"]}},
        {"signing-job": {"script": ["echo sign"], "image": "signer:1"}},
    ],
}


def flat(value: Any) -> Any:
    """Return a script as GitLab runs it: lists in it are lines."""
    if not isinstance(value, list):
        return value
    return [line for item in value for line in (item if isinstance(item, list) else [item])]


def test_a_section_with_every_key_means_what_it_means_to_spack(generators: Generators) -> None:
    generators.write(ci=SECTION)
    generators.variables["SPACK_PIPELINE_TYPE"] = "spack_protected_branch"
    generators.variables["SPACK_SIGNING_KEY"] = ""
    peer, ours = generators.peer(), generators.ours("--match-order", "last")
    assert (peer.code, ours.code) == (0, 0), peer.output + ours.output
    mine, theirs = generators.pipeline(), generators.peers_pipeline()
    ours_only = {"SPACK_FARM_GRAPH_JOB"}
    for name in builds(theirs):
        for key in set(theirs[name]) - {"needs", "stage", "retry", "script", "variables"}:
            assert flat(mine[name][key]) == flat(theirs[name][key]), (name, key)
        assert mine[name]["script"] == theirs[name]["script"] == ["echo mine"]
        known = {key: str(value) for key, value in mine[name]["variables"].items() if key not in ours_only}
        assert known == {key: str(value) for key, value in theirs[name]["variables"].items()}
    for name in ("sign-pkgs", "rebuild-index"):
        for key in set(theirs[name]) - {"stage", "script"}:
            assert flat(mine[name][key]) == flat(theirs[name][key]), (name, key)
    assert "cleanup-job: no job is made of it" in ours.output


def test_what_the_index_lists_gets_no_job_and_what_needs_it_waits_for_what_it_needs(generators: Generators) -> None:
    lock = generators.environment_folder / "spack.lock"
    specs = json.loads(lock.read_text())["concrete_specs"]
    (libhello,) = (key for key, spec in specs.items() if spec["name"] == "libhello")
    put_index_in_folder(generators.folder / "mirror", dict(entries(lock, [libhello])))
    peer, ours = generators.peer("--check-index-only"), generators.ours()
    assert (peer.code, ours.code) == (0, 0), peer.output + ours.output
    assert builds(generators.pipeline()) == builds(generators.peers_pipeline())
    assert waits_for(generators.pipeline()) == waits_for(generators.peers_pipeline())
    graph = read_graph((generators.folder / "jobs_scratch_dir/job-graph.json").read_bytes())
    assert (graph.by_key()[libhello].state, len(builds(generators.pipeline()))) == ("pruned", 4)
    put_index_in_folder(generators.folder / "mirror", dict(entries(lock, list(specs))))
    assert generators.ours().code == 0
    assert list(generators.pipeline()) == ["workflow", "no-specs-to-rebuild"]


def test_the_written_job_graph_obeys_its_schema_and_has_its_own_digest(generators: Generators) -> None:
    assert generators.ours().code == 0
    content = (generators.folder / "jobs_scratch_dir/job-graph.json").read_bytes()
    schema = json.loads((ROOT / "docs/reference/job-graph.schema.json").read_text())
    jsonschema.validate(json.loads(content), schema, cls=jsonschema.Draft202012Validator)
    graph = read_graph(content)
    assert graph.digest == digest(json.loads(content))
    pipeline = generators.pipeline()
    assert pipeline["variables"]["SPACK_FARM_GRAPH"] == graph.digest
    assert {job.job: job.key for job in graph.jobs if job.state == "build"} == builds(pipeline)
    assert {job.key: set(job.needs) for job in graph.jobs if job.needs}


def test_the_same_request_gives_the_same_bytes_whatever_the_hash_seed(generators: Generators) -> None:
    generators.variables.update(SOURCE_DATE_EPOCH="1700000000", PYTHONHASHSEED="1")
    assert generators.ours().code == 0
    names = ("pipeline/pipeline.yml", "jobs_scratch_dir/job-graph.json", "jobs_scratch_dir/concrete_environment/spack.lock")
    first = [(generators.folder / name).read_bytes() for name in names]
    generators.variables["PYTHONHASHSEED"] = "2"
    assert generators.ours().code == 0
    assert [(generators.folder / name).read_bytes() for name in names] == first


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        (
            {"ci": {"pipeline-gen": [{"submapping": [{"match": ["hello-app"]}, {"match": ["hello-app@1.0"]}]}]}},
            2,
            "can never count",
        ),
        ({"ci": {"pipeline-gen": [{"submapping": [{"match": ["hello app ("]}]}]}}, 2, "is no spec"),
        ({"ci": {"broken-specs-url": "gopher://x/y"}}, 2, "can't be listed"),
        ({"specs": ["no-such-package-at-all"], "ci": {"target": "gitlab"}}, 2, "Spack says: "),
        ({"mirror": "$NOT_SET_AT_ALL"}, 2, "takes a variable for a folder"),
    ],
)
def test_what_cannot_work_ends_with_its_code_and_one_line(
    generators: Generators, changes: dict[str, Any], code: int, words: str
) -> None:
    lock = generators.environment_folder / "spack.lock"
    kept = lock.read_bytes()
    try:
        generators.write(**changes)
        answer, found = generators.generator({"environment": str(generators.environment_folder)})
        assert (found, answer["code"]) == (code, code)
        assert words in answer["error"]
        asked = {"environment": str(generators.environment_folder), "on_failure": "pipeline", "stack": "cell"}
        answer, found = generators.generator(asked)
        assert found == 0
        assert "spack-rejects-this-stack" in answer["files"]["pipeline/pipeline.yml"]
    finally:
        lock.write_bytes(kept)


@pytest.mark.parametrize("place", ["/", __file__, "/nowhere/at/all", "a name", "-x"])
def test_a_place_without_an_environment_is_named_with_what_to_give(generators: Generators, place: str) -> None:
    answer, code = generators.generator({"environment": place})
    assert (code, answer["code"]) == (2, 2)
    assert (
        answer["error"] == f"{place}: there is no spack.yaml in it; give an environment's folder, its name or its spack.lock"
    )


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [("http://127.0.0.1:1/cache", 4, "127.0.0.1:1"), ("s3://bucket/cache", 4, "s3://bucket/cache")],
)
def test_a_destination_that_does_not_answer_is_an_error_and_not_a_pipeline_of_everything(
    generators: Generators, url: str, code: int, words: str
) -> None:
    generators.write(mirror=url)
    generators.variables.update(
        AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="y", S3_ENDPOINT_URL="http://127.0.0.1:1", no_proxy="*"
    )
    done = generators.ours()
    assert done.code == code
    assert words in done.output
    assert not (generators.folder / "pipeline/pipeline.yml").exists()


def test_a_worker_gets_75_where_a_server_does_not_answer(generators: Generators) -> None:
    generators.write(mirror="http://127.0.0.1:1/cache")
    generators.variables["DELEGATE_REQUEST_ID"] = "r1"
    answer, code = generators.generator({"environment": str(generators.environment_folder)})
    assert (code, answer["code"]) == (75, 4)


def test_a_damaged_index_is_an_error_that_says_what_to_do(generators: Generators) -> None:
    put_index_in_folder(generators.folder / "mirror", {})
    (blob,) = (generators.folder / "mirror/blobs").rglob("*/*/*")
    blob.write_bytes(b"{")
    done = generators.ours()
    assert done.code == 4
    assert "another checksum" in done.output
    assert "publish index --rebuild" in done.output


def test_what_is_known_to_be_broken_is_not_built(generators: Generators) -> None:
    specs = json.loads((generators.environment_folder / "spack.lock").read_text())["concrete_specs"]
    (broken,) = (key for key, spec in specs.items() if spec["name"] == "hello-broken")
    folder = generators.folder / "broken"
    folder.mkdir(exist_ok=True)
    (folder / broken).write_text("broken-spec: {}")
    generators.write(ci={"broken-specs-url": folder.as_uri()})
    done = generators.ours()
    assert done.code == 1
    assert "hello-broken@1.0" in done.output


def test_a_request_with_files_needs_no_folder(generators: Generators) -> None:
    files = {name: (generators.environment_folder / name).read_text() for name in ("spack.yaml", "spack.lock")}
    answer, code = generators.generator({"files": files, "sizes": (ROOT / "tests/data/sizes/sample.json").read_text()})
    assert code == 0
    assert answer["counts"]["build"] == 5
    assert answer["files"]["jobs_scratch_dir/concrete_environment/spack.lock"] == files["spack.lock"]
    assert "SPACK_FARM_SIZE_SOURCE" in answer["files"]["pipeline/pipeline.yml"]


def test_an_index_of_100000_binaries_is_read_in_300_mib(generators: Generators) -> None:
    lock = generators.environment_folder / "spack.lock"
    specs = json.loads(lock.read_text())["concrete_specs"]
    one = next(iter(dict(entries(lock, list(specs)[:1])).values()))
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    names = ("".join(letters[number >> 5 * place & 31] for place in range(4)).ljust(32, "a") for number in range(100_000))
    put_index_in_folder(generators.folder / "mirror", dict.fromkeys(names, one))
    done = generators.ours()
    assert done.code == 0, done.output
    assert len(builds(generators.pipeline())) == 5
    assert done.peak_bytes <= 300 << 20


def test_random_sections_mean_what_they_mean_to_spacks_own_generator(spack: SpackInstallation, tmp_path: Path) -> None:
    """All marks of keys, `::`, `+:` and `-:`, wherever Spack's schema lets them stand; one or two scopes."""
    program = ROOT / "tests/data/pipelines/compare_ci_sections.py"
    lab = SpackLab(tmp_path, spack)
    argv = [str(spack.program), "python", str(program), str(ROOT / "pipelines"), "1", "150"]
    done = subprocess.run(argv, env=lab.environment, capture_output=True, text=True, timeout=250, check=True)
    found = json.loads(done.stdout)
    assert (found["different"], found["first"]) == (0, [])
    assert found["compared"] > 130
    assert min(found["marks"].values()) > 300


def hostile(generators: Generators) -> dict[str, tuple[dict[str, Any], str]]:
    """Return requests that Spack chokes on, and what the answer says of them."""
    manifest = (generators.environment_folder / "spack.yaml").read_text()
    lock = json.loads((generators.environment_folder / "spack.lock").read_text())
    of = {spec["name"]: key for key, spec in lock["concrete_specs"].items()}

    def changed(name: str, **changes: Any) -> dict[str, Any]:
        content = json.loads(json.dumps(lock))
        content["concrete_specs"][of[name]].update(changes)
        return {"spack.yaml": manifest, "spack.lock": json.dumps(content)}

    need = {"hash": of["hello-app"], "parameters": {"deptypes": ["link"], "virtuals": []}}
    nines = "".join(f"        a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    bomb = f"spack:\n  specs: [hello-app]\n  ci:\n    pipeline-gen:\n    - build-job:\n        a0: &a0 [x]\n{nines}"
    return {
        "a cycle": (changed("libhello", dependencies=[{"name": "hello-app", **need}]), "the graph has a cycle: "),
        "a version with a newline": (changed("libhello", version="1.0\n- x: é"), "its spack.lock can't be read"),
        "a need that is missing": (
            changed("hello-app", dependencies=[need | {"name": "x", "hash": "x" * 32}]),
            "can't be read",
        ),
        "aliases of aliases": ({"spack.yaml": bomb}, "its aliases stand for more than"),
        "half a surrogate pair": ({"spack.yaml": "spack: {x: \ud800}"}, "file 'spack.yaml' can't be written"),
        "a file below a file": ({"spack.yaml": manifest, "spack.yaml/x": ""}, "file 'spack.yaml/x' can't be written"),
        "a name of 400 letters": ({"spack.yaml": manifest, "x" * 400: ""}, "can't be written: File name too long"),
        "a lock nested 100,000 deep": (
            {"spack.yaml": manifest, "spack.lock": "[" * 100_000},
            "its spack.lock can't be read",
        ),
    }


def test_hostile_requests_are_rejected_with_one_line_and_without_a_traceback(generators: Generators) -> None:
    for name, (files, words) in hostile(generators).items():
        answer, code = generators.generator({"files": files})
        assert (code, answer["code"]) == (2, 2), (name, answer)
        assert words in answer["error"], (name, answer)
        assert "Traceback" not in answer["error"], name
