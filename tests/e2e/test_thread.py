"""From a job in GitLab's queue to a binary that stock Spack installs, on real parts all the way.

Coordinator, GitLab Runner, driver, a pod of the build image, Git and gitlab-runner-helper, Spack, gpg, S3: only GitLab and
CDash are played. One pipeline: `library` builds and publishes; `application` takes the library's binary and builds on it;
`broken` fails on purpose, on another system; `user` installs with stock Spack, signatures checked.
"""

import lxml.etree
import pytest

from tests.fakes.cdash import CDash
from tests.fakes.coordinator.server import Coordinator
from tests.labs.cluster.lab import NAMESPACE, ClusterLab
from tests.labs.farm.farm import Farm, plain
from tests.labs.farm.pipeline import (
    JOBS,
    MIRROR,
    Pipeline,
    built,
    files,
    need_spack,
    telemetry,
    texts,
)

CACHE = [{"key": "setup", "paths": [".cached/"], "policy": "pull-push", "when": "on_success"}]
NO_SPACK = [
    "unset SPACK_ROOT SPACK_PYTHON; export PATH=/usr/local/bin:/usr/bin:/bin",
    "if command -v spack; then exit 9; fi",
]
STOCK = [
    "mkdir -p .other/conf",
    """printf 'config: {install_tree: {root: %s}}' "$PWD/.other/opt" > .other/conf/config.yaml""",
    f"""printf 'mirrors:: {{m: {{url: "{MIRROR}", endpoint_url: "%s"}}}}' "$AWS_ENDPOINT_URL" > .other/conf/mirrors.yaml""",
    "export SPACK_GNUPGHOME=$PWD/.other/gpg SPACK_USER_CACHE_PATH=$PWD/.other/cache SPACK_DISABLE_LOCAL_CONFIG=1",
    "spack -C .spack/conf -C .other/conf install --cache-only hello-app && exit 9 || echo untrusted is refused",
    "spack -C .spack/conf -C .other/conf gpg trust spack-farm-out/public.asc",
    "spack -C .spack/conf -C .other/conf install --cache-only hello-app",
    ".other/opt/*/hello-app-1.0-*/bin/hello-app thread",
]


@pytest.mark.timeout(900)  # the first one here loads 640 MiB of image, on a machine that may be busy
def test_a_pipeline_of_spack_builds_ends_in_binaries_that_stock_spack_installs(lab: ClusterLab, pipeline: Pipeline) -> None:
    need_spack("the thread of Spack builds; `build --command` ran in the same pods")
    pipeline.cdash.taken.clear()  # other tests here have reported theirs
    seen: list[str] = []

    def look() -> None:
        seen.extend(lab.kubectl("get", kind, "-n", NAMESPACE, "-o", "json") for kind in ("pods", "events", "configmaps"))

    mark = "mkdir -p .cached && ls .cached && echo $CI_JOB_NAME >> .cached/stamp"
    library = pipeline.submit([mark, *JOBS["libhello"]["script"]], cache=CACHE)
    failing = [line.replace("libhello", "hello-broken") for line in JOBS["libhello"]["script"]]
    broken = pipeline.submit(failing, system="debian13")
    library.when("libhello@1.0", look)
    assert library.wait().state == "success", library.text
    assert telemetry(library, "libhello")["outcome"] == "built"
    assert telemetry(library, "libhello")["publish"]["url"].startswith(f"{MIRROR}/v3/manifests/spec/libhello/")
    assert telemetry(library, "libhello")["job"]["id"] == str(library.number)

    script = [mark, *JOBS["hello-app"]["script"], 'cp "$PUBLIC_KEY" spack-farm-out/public.asc']
    application = pipeline.submit(script, cache=CACHE)
    assert application.wait().state == "success", application.text
    assert "stamp" in plain(application.text).splitlines(), "the cache of the first job is there"
    assert telemetry(application, "hello-app")["outcome"] == "built"
    assert built(application) == {"hello-app"}, "the library came from the mirror"

    end = broken.wait()
    assert (end.reason, end.exit_code) == ("script_failure", 1), broken.text
    error = telemetry(broken, "hello-broken")["first_error"]["text"]
    assert "error" in error
    told = plain(broken.text).partition("Running after_script")[0]
    assert error in "\n".join(told.splitlines()[-60:])
    (page,) = [path for path in files(broken).namelist() if "hello-broken" in path and path.endswith("report.html")]
    assert "broken.c" in files(broken).read(page).decode()

    needed = telemetry(broken, "libhello")
    assert (needed["outcome"], needed["publish"]["state"]) == ("built", "published"), "another system, another binary"
    assert "-debian13-" in needed["spec"]["architecture"]

    assert_reported(pipeline.cdash, errors={"libhello": [False, False], "hello-app": [False], "hello-broken": [True]})

    user = pipeline.submit(STOCK, needs=application, who="user", after=None)
    user.when("untrusted is refused", look)
    assert user.wait().state == "success", user.text
    said = plain(user.text).splitlines()
    assert "untrusted is refused" in said
    assert said[said.index(f"$ {STOCK[-1]}") + 1] == "Hello from libhello, thread"

    sent = [file.body.decode("utf-8", "replace") for file in pipeline.cdash.taken]
    left = [texts(job) for job in (library, application, broken, user)]
    everything = "\n".join([*seen, *sent, *left])
    assert f'"name": "job-{library.number}' in everything
    assert f'"name": "job-{user.number}' in everything
    assert [secret for secret in pipeline.secrets if secret in everything] == []


@pytest.mark.parametrize("executor", ["official", "shell"])
def test_the_agent_needs_nothing_of_our_driver(farm: Farm, pipeline: Pipeline, executor: str) -> None:
    gitlab: Coordinator = getattr(farm, executor)
    job = gitlab.submit(pipeline.payload(JOBS["measured"]["script"], who="guest"))
    assert job.wait().state == "success", job.text
    assert telemetry(job, "libhello-1.0")["outcome"] == "built"


def test_without_spack_the_same_pod_measures_a_command(pipeline: Pipeline) -> None:
    script = [*NO_SPACK, "spack-farm build libhello || echo code $?", *JOBS["measured"]["script"]]
    job = pipeline.submit(script, who="guest")
    assert job.wait().state == "success", job.text
    told = plain(job.text)
    assert "no Spack found" in told
    assert "code 3" in told.splitlines()
    document = telemetry(job, "libhello-1.0")
    assert document["outcome"] == "built"
    assert document["totals"]["cpu_seconds"] > 0
    assert document["job"]["id"] == str(job.number)
    assert any(path.endswith("report.html") for path in files(job).namelist())


def assert_reported(cdash: CDash, *, errors: dict[str, list[bool]]) -> None:
    """Each build's documents came once, Done last, and a failed one's first error is among them.

    `errors` says of each package's builds whether they have some.
    """
    builds: dict[tuple[str, ...], dict[str, bytes]] = {}
    for file in cdash.taken:
        documents = builds.setdefault(tuple(file.query[key] for key in ("build", "site", "stamp")), {})
        assert file.name not in documents, "it came twice"
        documents[file.name] = file.body
    found: dict[str, list[bool]] = {}
    for (name, *_), documents in builds.items():
        assert {"Build.xml", "Notes.xml", "Upload.xml", "Done.xml"} <= documents.keys(), name
        assert list(documents)[-1] == "Done.xml"
        error = lxml.etree.fromstring(documents["Build.xml"]).find(".//Error")
        found.setdefault(name.split()[0], []).append(error is not None)
    assert {name: found[name] for name in errors} == errors
