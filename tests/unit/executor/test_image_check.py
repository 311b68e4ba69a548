import msgspec
import pytest

from executor.attempt import Attempt
from executor.errors import RequestError, SettingsError
from executor.image_check import check_images, check_quoting
from executor.image_facts import Facts, facts_by_container, facts_in
from executor.settings import load_settings

SETTINGS = load_settings(None)
BUILD: Facts = {"shell": {"/bin/bash"}, "process": {"1"}, "tool": {"git"}, "quoting": {"yes"}}
HELPER: Facts = {"shell": {"/bin/sh"}, "process": {"1"}, "tool": {"gitlab-runner"}, "runner_version": {"19.4.0"}}


@pytest.mark.parametrize("version", ["19.4.0", "19.4.3", "18.11.0", "", "unknown"])
def test_images_with_all_that_scripts_need_are_accepted(version: str) -> None:
    check_images({"build": BUILD, "helper": HELPER}, SETTINGS, version)


@pytest.mark.parametrize(
    ("build", "helper", "version", "kind", "message"),
    [
        ({}, HELPER, "19.4.0", RequestError, "entrypoint did not start its arguments"),
        (
            {"process": {"1"}},
            HELPER,
            "19.4.0",
            RequestError,
            "no shell that runs (none of /usr/local/bin/bash, /usr/bin/bash, ",
        ),
        ({"broken": {"/bin/sh: No such file or directory"}}, HELPER, "19.4.0", RequestError, "runs (/bin/sh: No such file"),
        (BUILD, {}, "19.4.0", SettingsError, "has no gitlab-runner: artifacts and caches would be lost silently"),
        (BUILD, {**HELPER, "tool": {"git"}}, "19.4.0", SettingsError, "allow_missing_helper = true"),
        (BUILD, HELPER, "19.5.0", SettingsError, "is 19.4.0, older than the Runner's 19.5.0; set kubernetes.helper_image"),
        (BUILD, HELPER, "20.0.0", SettingsError, "older than the Runner's 20.0.0"),
    ],
)
def test_a_lack_is_reported_to_whoever_can_change_it(
    build: Facts, helper: Facts, version: str, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message.replace("(", r"\(")):
        check_images({"build": build, "helper": helper}, SETTINGS, version)


def test_the_operator_may_do_without_a_helper() -> None:
    settings = msgspec.structs.replace(SETTINGS, allow_missing_helper=True)
    check_images({"build": BUILD, "helper": {}}, settings, "19.4.0")


FRAMES = [b"(trap 'exit 1' TERM; eval $'export A=1\\n') < /dev/null\n", b": | eval $'export A=1\\n'\n"]
POSIX = [
    b"(trap 'exit 1' TERM; eval \"grep 'b\\$'\") < /dev/null\n",
    b": | eval \": ; eval \\$'x'\n: | eval \\$'x'\n\"\n",
]


def test_only_the_builds_scripts_need_a_shell_that_reads_their_quoting() -> None:
    dash = Attempt(pod="p", namespace="n", quoting=False)
    check_quoting(dash, "build", b"echo plain")
    for script in FRAMES:
        check_quoting(dash, "helper", script)
        check_quoting(Attempt(pod="p", namespace="n"), "build", script)
        with pytest.raises(RequestError, match="FF_POSIXLY_CORRECT_ESCAPES"):
            check_quoting(dash, "build", script)


@pytest.mark.parametrize("script", POSIX)
def test_what_a_user_writes_in_a_script_with_posix_quotes_is_no_quoting_of_the_runner(script: bytes) -> None:
    check_quoting(Attempt(pod="p", namespace="n", quoting=False), "build", script)


LOG = "welcome\n\nspack-farm's facts of this image:\nshell /bin/bash\nquoting yes\nprocess 1\ntool git\n"


def test_facts_in_a_log_count_once_they_are_whole() -> None:
    assert facts_in(LOG + "end\nlater output\n") == BUILD
    assert facts_in(LOG) == {}
    assert facts_in("") == {}
    assert facts_in(LOG.replace("bash", "zsh") + "end\n" + LOG + "end\n") == BUILD, "a restart: the last ones count"


def test_facts_of_both_containers_come_in_one_answer() -> None:
    answer = "container helper\nshell sh\nend\ncontainer build\nshell bash\ntool git\nend\n"
    assert facts_by_container(answer) == {"helper": {"shell": {"sh"}}, "build": {"shell": {"bash"}, "tool": {"git"}}}
    assert facts_by_container("missing helper\n") == {}
