"""Arguments and environment become a request, or one clear error before anything starts."""

import json
from pathlib import Path

import pytest

from buildjob.agent.request import PREFIX, VARIABLES, BuildRequest, StandaloneTests, parse
from buildjob.cli import build, publish_options
from buildjob.errors import RequestError
from buildjob.options import seconds
from spelling.variables import likely_slips


def request(*words: str | Path, **variables: str) -> BuildRequest:
    return parse(build.parser().parse_args([str(word) for word in words]), {"HOME": "/home/me", **variables})


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.asc").write_text("key")
    (tmp_path / "spec.json").write_text("{}")
    (tmp_path / "plain").mkdir()
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "spack.lock").write_text(json.dumps({}))


def test_specs_files_and_environments_are_distinguished(tmp_path: Path) -> None:
    asked = request("zlib", "hdf5 +mpi", "./spec.json")
    assert asked.specs == ["zlib", "hdf5 +mpi"]
    assert asked.spec_files == [tmp_path / "spec.json"]
    assert request("env").environment_name == str(tmp_path / "env")
    assert request("env/spack.lock", "--hash", "abc").environment_name == str(tmp_path / "env")
    assert request("env/spack.lock").environment_name == str(tmp_path / "env")
    assert request("/abc1234", "zlib/abc1234").specs == ["/abc1234", "zlib/abc1234"]
    assert request("plain").specs == ["plain"], "a folder beside may have a package's name"
    assert request("named", "--hash", "abc").environment_name == "named"


def test_nothing_is_published_unless_a_mirror_is_named() -> None:
    asked = request("zlib")
    assert asked.target is None
    assert not asked.keep_unsigned


def test_the_environment_gives_options_and_an_option_wins(tmp_path: Path) -> None:
    variables = {
        "SPACK_FARM_BUILD_MIRROR": "m",
        "SPACK_FARM_BUILD_SIGNING_KEY_FILE": "key.asc",
        "SPACK_FARM_BUILD_TIMEOUT": "1h30m",
        "SPACK_FARM_BUILD_CONFIG_SCOPE": f"{tmp_path}:env",
        "SPACK_FARM_BUILD_FRESH": "true",
    }
    asked = request("zlib", "--timeout", "90s", **variables)
    assert asked.target
    assert asked.target.folder == tmp_path / "m"
    assert asked.target.signing_key_file
    assert asked.target.signing_key_file.file == tmp_path / "key.asc"
    assert asked.timeout_seconds == 90
    assert asked.scopes == [tmp_path, tmp_path / "env"]
    assert asked.fresh


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "nothing to build"),
        (("zlib", "--mirror", "m"), "--signing-key-file"),
        (("zlib", "--mirror", "m", "--unsigned", "--signing-key-file", "key.asc"), "exclude each other"),
        (("zlib", "--mirror", "m", "--signing-key-file", "absent"), "absent: there is no such file"),
        (("zlib", "--mirror", "ftp://h/m", "--unsigned"), "give a folder, a file:// URL, or s3://BUCKET/PREFIX"),
        (("zlib", "--mirror", "key.asc/m", "--unsigned"), "key.asc is not a folder"),
        (("zlib", "--out", "key.asc/out"), "key.asc is not a folder"),
        (("zlib", "-C", "absent"), "absent: there is no such folder"),
        (("zlib", "--jobs", "0"), "--jobs 0"),
        (("zlib", "--jobs", "many"), "--jobs many"),
        (("zlib", "--timeout", "soon"), "--timeout 'soon'"),
        (("zlib", "--interval", "1h"), "--interval 1h: give a time from 0.1s to 60s"),
        (("zlib", "--interval", "50ms"), "--interval '50ms': give a time from 0.1s to 60s"),
        (("zlib", "--name", "x"), "belong to --command"),
        (("env", "zlib"), "built alone"),
        (("zlib", "hdf5", "--hash", "abc"), "exactly one environment"),
        (("./absent", "--hash", "abc"), "no such environment folder"),
        (("./absent.json",), "absent.json: there is no such file"),
        (("absent.json",), "absent.json: there is no such file"),
        (("./absent",), "./absent: there is no such file or folder"),
        (("./plain",), "./plain: not a Spack environment"),
        (("--command", "make"), "--name and --version"),
        (("--command", "make", "--name", "../x", "--version", "1"), "--name '../x'"),
        (("zlib", "--command", "make", "--name", "x", "--version", "1"), "without Spack"),
        (("--command", "make", "--name", "x", "--version", "1", "-j2"), "--jobs has no effect on a --command build"),
        (("--command", "make", "--name", "x", "--version", "1", "--private"), "--private has no effect"),
        (("--command", "make", "--name", "x", "--version", "1", "--no-publish"), "--no-publish has no effect"),
        (("--command", "make", "--name", "x", "--version", "1", "--trust", "f"), "--trust has no effect"),
        (("--command", "make", "--name", "x", "--version", "1", "--fresh"), "--fresh has no effect"),
        (("--command", "make", "--name", "x", "--version", "1", "--spack", "s"), "--spack has no effect"),
        (("zlib", "--unsigned"), "--unsigned has no effect without --mirror"),
        (("zlib", "--signing-key-file", "k"), "--signing-key-file has no effect without --mirror"),
        (("zlib", "--mirror", "m", "--unsigned", "--signing-passphrase-file", "p"), "without --signing-key-file"),
        (("zlib", "--private"), "--private has no effect without --mirror or --no-publish"),
        (("zlib", "--allow-missing"), "--allow-missing has no effect without --mirror or --no-publish"),
        (("--command", "make", "--name", "x", "--version", "1", "--mirror", "m", "--unsigned"), "--command build has none"),
    ],
)
def test_what_cannot_work_is_rejected_with_its_name(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(RequestError) as rejected:
        request(*words)
    assert complaint in str(rejected.value)


@pytest.mark.parametrize("out", [(), ("--out", "/tmp/out")])
def test_a_working_folder_that_was_removed_is_said_to_be(
    out: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(RequestError, match=r"the working folder cannot be used .No such file or directory.: change to"):
        request(*COMMAND, *out)


COMMAND = ("--command", "make", "--name", "x", "--version", "1")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        *((("zlib", option, ""), option) for option in (
            "--hash", "--spack", "--config-scope", "--jobs", "--mirror", "--signing-key-file", "--signing-passphrase-file",
            "--trust", "--telemetry-mirror", "--out", "--timeout", "--interval", "--site", "--group", "--prefix",
        )),
        (("zlib", "--mirror", " \t", "--unsigned"), "--mirror"),
        (("zlib", "-C", ""), "--config-scope"),
        (("zlib", "-C", "env", "-C", "\n"), "--config-scope"),
        (("",), "SPEC"),
        (("zlib", " "), "SPEC"),
        (("--command", "", "--name", "x", "--version", "1"), "--command"),
        (("--command", "make", "--name", "", "--version", "1"), "--name"),
        ((*COMMAND, "--prefix", ""), "--prefix"),
    ],
)  # fmt: skip
def test_an_empty_value_is_rejected_and_not_taken_for_none(words: tuple[str, ...], option: str) -> None:
    with pytest.raises(RequestError, match=f"^{option} is empty"):
        request(*words)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SPACK_FARM_BUILD_MIROR", "m", "SPACK_FARM_BUILD_MIRROR"),
        ("SPACK_FARM_BUILD_SIGNING_KEY", "key.asc", "SPACK_FARM_BUILD_SIGNING_KEY_FILE"),
        ("SPACK_FARM_BUILD_TIME_OUT", "1h", "SPACK_FARM_BUILD_TIMEOUT"),
        ("SPACK_FARM_BUILD_NO_PUBLISH", "true", "SPACK_FARM_BUILD_PUBLISH"),
        ("SPACK_FARM_BUILD_JOB", "4", "SPACK_FARM_BUILD_JOBS"),
        ("SPACK_FARM_BUILD_TRUSTED", "f", "SPACK_FARM_BUILD_TRUST"),
        ("SPACK_FARM_build_mirror", "m", "SPACK_FARM_BUILD_MIRROR"),
        ("spack_farm_build_mirror", "m", "SPACK_FARM_BUILD_MIRROR"),
        ("SPACK_FARM_BUILD_TELEMETRY_MIRRROR", "t", "SPACK_FARM_BUILD_TELEMETRY_MIRROR"),
        ("SPACK_FARM_BUILD_", "x", "unknown: correct or unset it"),
        ("SPACK_FARM_BUILD_COLOR", "x", "unknown: correct or unset it"),
        ("SPACK_FARM_BUILD_MIRROR", "", "empty"),
        ("SPACK_FARM_BUILD_MIRROR", "  ", "empty"),
        ("SPACK_FARM_BUILD_FRESH", "", "empty"),
        ("SPACK_FARM_BUILD_CONFIG_SCOPE", "", "empty"),
    ],
)
def test_a_variable_that_gives_no_option_is_rejected_with_the_nearest(name: str, value: str, said: str) -> None:
    with pytest.raises(RequestError) as rejected:
        request("zlib", **{name: value})
    assert str(rejected.value).startswith(f"the variable {name} is ")
    assert said in str(rejected.value).partition(" is ")[2]


def test_variables_of_other_parts_are_not_the_agent_s_business() -> None:
    known = (
        "SPACK_FARM_ASKED_MEMORY_BYTES", "SPACK_FARM_ASKED_GPUS", "SPACK_FARM_IMAGE_DIGEST", "SPACK_FARM_JOB_ATTEMPT",
        "SPACK_FARM_POD", "SPACK_FARM_NODE", "SPACK_FARM_ATTEMPT", "SPACK_FARM_RUNNER_PROCESS", "SPACK_FARM_EXECUTOR_WARM",
        "SPACK_FARM_PUBLISH_ENDPOINT_URL", "SPACK_FARM_IMAGE", "SPACK_FARM_VERSION", "MY_BUILD_MIRROR", "CI_JOB_ID",
    )  # fmt: skip
    variables = dict.fromkeys(known, "1")
    assert request("zlib", **variables).variables.items() >= variables.items()
    every_name = (*VARIABLES, *publish_options.VARIABLES)
    assert list(likely_slips(variables, every_name, mark="FARM", spared=(PREFIX, publish_options.PREFIX))) == []


def test_a_request_names_the_packages_that_it_needs() -> None:
    least = {"lxml", "psutil"}
    assert request(*COMMAND).packages == least
    assert request("zlib", "--mirror", "m", "--unsigned").packages == least
    assert request("zlib", "--telemetry-mirror", "t").packages == least
    assert request("zlib", "--mirror", "m", "--signing-key-file", "key.asc").packages == least | {"gnupg"}
    assert request("zlib", "--trust", "key.asc").packages == least | {"gnupg"}
    assert request("zlib", "--mirror", "s3://bucket/m", "--unsigned").packages == least | {"boto3", "botocore"}
    assert request(*COMMAND, "--telemetry-mirror", "s3://bucket/m").packages == least | {"boto3", "botocore"}


def test_a_spec_may_be_longer_than_a_path() -> None:
    spec = "hdf5" + "+variant" * 600
    assert request(spec).specs == [spec]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--out", "key.asc"), "--out"),
        (("--out", "loop/out"), "--out loop/out"),
        (("--mirror", "loop", "--unsigned"), "--mirror loop"),
        (("--mirror", "file://", "--unsigned"), "whole path"),
        (("--mirror", "file://host/m", "--unsigned"), "whole path"),
        (("--telemetry-mirror", "file:m"), "whole path"),
        (("--trust", "n" * 300), "there is no file of that name"),
        (("-C", "n" * 300), "there is no such folder"),
    ],
)
def test_a_path_that_cannot_be_one_is_rejected_with_its_option(
    words: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(RequestError, match=complaint):
        request("zlib", *words)


def test_a_switch_in_the_environment_is_true_or_false() -> None:
    with pytest.raises(RequestError, match="give true or false"):
        request("zlib", SPACK_FARM_BUILD_FRESH="maybe")
    assert request("zlib", SPACK_FARM_BUILD_FRESH="false").fresh is False


def test_publishing_can_be_switched_off() -> None:
    asked = request("zlib", "--no-publish", "--mirror", "m")
    assert asked.target is None
    assert asked.keep_unsigned
    assert asked.packs
    assert not request("zlib").packs
    assert request("zlib", "--mirror", "m", "--unsigned").packs


def test_the_environment_that_is_active_in_the_shell_is_used_unless_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "env" / "spack.yaml").write_text("spack:\n")
    active = {"SPACK_ENV": str(tmp_path / "env")}
    assert request("zlib", **active).active_environment == tmp_path / "env"
    assert request("zlib").active_environment is None
    assert request("env", **active).active_environment is None
    with pytest.raises(RequestError, match="deactivate the environment"):
        request("zlib", SPACK_ENV=str(tmp_path))


def test_telemetry_goes_to_a_folder_or_to_s3(tmp_path: Path) -> None:
    assert request("zlib", "--telemetry-mirror", "t").telemetry_mirror == (tmp_path / "t").as_uri()
    assert request("zlib", "--telemetry-mirror", "s3://binaries/t").telemetry_mirror == "s3://binaries/t"
    assert request("zlib").telemetry_mirror == ""


@pytest.mark.parametrize(
    ("given", "variables", "jobs"),
    [
        ((), {}, None),
        ((), {"SPACK_BUILD_JOBS": " "}, None),
        ((), {"SPACK_BUILD_JOBS": "3"}, 3),
        ((), {"SPACK_BUILD_JOBS": "3", "SPACK_FARM_BUILD_JOBS": "5"}, 5),
        (("--jobs", "7"), {"SPACK_BUILD_JOBS": "3", "SPACK_FARM_BUILD_JOBS": "5"}, 7),
    ],
)
def test_the_number_of_jobs_follows_the_job_s_size_unless_an_option_says_otherwise(
    given: tuple[str, ...], variables: dict[str, str], jobs: int | None
) -> None:
    assert request("zlib", *given, **variables).jobs == jobs


def test_a_number_of_jobs_of_the_environment_that_is_none_is_named() -> None:
    with pytest.raises(RequestError, match="SPACK_BUILD_JOBS many: give a whole number from 1 to 4096"):
        request("zlib", SPACK_BUILD_JOBS="many")


def test_a_number_of_jobs_and_a_distance_of_samples_are_bounded() -> None:
    asked = request("zlib", "-j", "4096", "--interval", "0.1s")
    assert (asked.jobs, asked.interval_seconds) == (4096, 0.1)


def test_what_this_user_may_not_read_or_write_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {tmp_path / "key.asc", tmp_path / "plain"}
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path) not in closed)  # root may read and write everything
    with pytest.raises(RequestError, match="this user can't read it"):
        request("zlib", "--mirror", "m", "--signing-key-file", "key.asc")
    with pytest.raises(RequestError, match=f"this user can't write to {tmp_path / 'plain'}"):
        request("zlib", "--out", "plain/out")


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("90s", 90), ("15m", 900), ("1h30m", 5400), ("1.5h", 5400), ("2 h 5 min", 7500), ("1d", 86400)],
)
def test_durations(text: str, value: float) -> None:
    assert seconds(text, "--timeout") == value


@pytest.mark.parametrize("text", ["", "0", "-1", "1x", "h", "1e9", "m5"])
def test_a_malformed_duration_is_rejected(text: str) -> None:
    with pytest.raises(RequestError):
        seconds(text, "--timeout")


def test_a_build_cache_in_s3_is_not_a_folder(tmp_path: Path) -> None:
    asked = request("zlib", "--mirror", "s3://binaries/main/", "--unsigned", "--out", str(tmp_path / "o"))
    assert asked.target
    assert (asked.target.url, asked.target.folder) == ("s3://binaries/main", None)
    for other, fault in (("s3://x", "'x' can't be a bucket"), ("https://host/mirror", "s3://BUCKET/PREFIX")):
        with pytest.raises(RequestError, match=fault):
            request("zlib", "--mirror", other, "--unsigned", "--out", str(tmp_path / "o"))


def test_a_variable_without_effect_is_for_other_jobs() -> None:
    variables = {"SPACK_FARM_BUILD_UNSIGNED": "true", "SPACK_FARM_BUILD_PRIVATE": "true", "SPACK_FARM_BUILD_JOBS": "2"}
    request("zlib", **variables)
    request("--command", "make", "--name", "x", "--version", "1", **variables)


def test_a_job_of_a_pipeline_takes_its_key_and_its_artifacts_folder(tmp_path: Path) -> None:
    asked = request("--ci", "--signing-key-file", "key.asc", CI_PROJECT_DIR=str(tmp_path), SPACK_ARTIFACTS_ROOT="jobs")
    assert asked.target
    assert (asked.target.url, asked.target.folder) == ("", None)
    assert asked.out == tmp_path / "jobs/user_data/spack-farm"
    assert request("--ci").target is None


def test_a_place_where_no_artifacts_can_be_is_named_by_the_pipelines_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for root in ("file", "circle"):
        with pytest.raises(RequestError, match=f"^SPACK_ARTIFACTS_ROOT={root}: .*{root}"):
            request("--ci", CI_PROJECT_DIR=str(tmp_path), SPACK_ARTIFACTS_ROOT=root)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--ci", "zlib"), "zlib: --ci builds the spec that SPACK_JOB_SPEC_DAG_HASH names"),
        (("--ci", "--mirror", "m"), "--mirror and --ci exclude each other"),
        (("--reproduce", "run", "zlib"), "zlib: --reproduce builds the spec of the run that it names"),
        (("--reproduce", "run", "--ci"), "exclude each other"),
        (("--reproduce", "run", "--fresh"), "--fresh and --reproduce exclude each other"),
    ],
)
def test_what_a_pipeline_or_an_earlier_run_says_is_not_given_again(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        request(*words)


def test_standalone_tests_end_with_the_first_failure_unless_it_is_said_otherwise() -> None:
    assert request("--ci", "--tests").standalone_tests == StandaloneTests(fail_fast=True, timeout_seconds=None)
    asked = request("--ci", "--tests", "--test-timeout", "2m", SPACK_CI_FAIL_FAST="false")
    assert asked.standalone_tests == StandaloneTests(fail_fast=False, timeout_seconds=120)
    assert request("--ci").standalone_tests is None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("zlib", "--trust", "plain"), "this is a folder; give a file"),
        (("zlib", "--trust", "nowhere"), "no such file"),
        (("zlib", "-C", "key.asc"), "this is a file; give the folder"),
        (("zlib", "-C", "nowhere"), "no such folder"),
    ],
)
def test_files_and_folders_are_looked_at_before_anything_starts(words: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(RequestError, match=complaint):
        request(*words)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4Gi", 4 << 30),
        ("4G", 4 * 10**9),
        ("512Mi", 512 << 20),
        ("1.5Gi", 3 << 29),
        ("20000000", 20_000_000),
        ("64MiB", 64 << 20),
    ],
)
def test_amounts_of_memory_are_kubernetes_own(text: str, value: int, tmp_path: Path) -> None:
    assert request("zlib", "--memory", text, "--out", str(tmp_path)).memory_bytes == value


@pytest.mark.parametrize("text", ["512m", "4", "0Gi", "-4Gi", "4 Gib", "4gi", "Gi", "1e9", "4Gi 4Gi", "٤Gi"])
def test_what_is_no_amount_of_memory_is_rejected(text: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--memory"):
        request("zlib", f"--memory={text}", "--out", str(tmp_path))
