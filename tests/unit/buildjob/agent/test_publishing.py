"""What becomes of a run when its binary is published, or can't be."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from buildjob.agent import ci_facts
from buildjob.agent.publishing import Publishing
from buildjob.agent.recorder import Recorder, Subject
from buildjob.agent.request import Target
from buildjob.agent.supply import Supply
from buildjob.errors import Interrupted, TimedOut
from buildjob.outcome import Outcome
from buildjob.spack.adapter import Spack
from buildjob.spack.concrete import ConcreteSpec
from buildjob.telemetry import PackageSpec, Publish, Reproduce

S3 = Target(url="s3://bucket/x", folder=None, signing_key_file=None)
PUSHED = (0, b'{"manifests": ["s3://bucket/x/m"], "bytes": 7}\n')
PACKED = (0, b'{"packed": ["app"], "not_redistributable": []}\n')
APP = ConcreteSpec(
    hash="app", name="app", version="1", spec_file="", prefix="", stage_name="",
    external=False, installed=True, binary="", architecture="",
    compiler="", variants={}, dependencies=[],
)  # fmt: skip


class Program:
    """A prestarted program that never starts: the session answers for it."""

    argv = ("spack",)
    pids: frozenset[int] = frozenset()

    def end(self) -> None:
        """Nothing was started."""


class Session:
    """A session whose programs answer from a list; an exception in it is raised."""

    def __init__(self, target: Target | None, *answers: Any) -> None:
        self.request = SimpleNamespace(target=target, variables={}, private=False, allow_missing=False)
        self.environments = SimpleNamespace(build={})
        self.lines: list[str] = []
        self.log = SimpleNamespace(note=self.lines.append, error=self.lines.append)
        self._answers = list(answers)

    def prestarted(self, _argv: list[str], _variables: dict[str, str]) -> Program:
        return Program()

    def finish(self, _program: Program, _line: bytes, *, standby: frozenset[int] = frozenset()) -> tuple[int, bytes]:
        del standby
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


SPACK: Any = SimpleNamespace(
    pack_argv=list,
    environment=lambda variables: variables,
    pack_input=lambda _folder, **_wanted: b"",
    packed=lambda code, printed: Spack.packed(SPACK, code, printed),
)


def published(
    folder: Path, target: Target | None, *answers: Any, spec: ConcreteSpec = APP, private: bool = False
) -> tuple[Recorder, list[str]]:
    """Publish a package that has been built; return the recorder, and what was logged."""
    subject = Subject(
        spec=PackageSpec(name="app", version="1"),
        command="",
        reproduce=Reproduce(),
        versions=ci_facts.versions(),
    )
    recorder = Recorder(folder, subject, secret_values=frozenset())
    recorder.skip(Outcome.BUILT)
    session: Any = Session(target, *answers)
    session.request.private = private
    publisher: Any = SimpleNamespace(session=session, spack=SPACK, trust=None, supply=Supply([spec]), fault=lambda _spec: "")
    (folder / "unsigned").mkdir()
    with Publishing(publisher, spec, folder) as publishing:
        assert publishing.standby() == frozenset()
        publishing.publish(recorder)
    return recorder, session.lines


def test_a_binary_that_was_pushed_is_published_and_its_copy_deleted(tmp_path: Path) -> None:
    recorder, lines = published(tmp_path, S3, PACKED, PUSHED)
    publish = recorder.result.telemetry.publish
    assert publish
    assert (recorder.outcome, publish.state, publish.url) == (Outcome.BUILT, "published", "s3://bucket/x/m")
    assert lines == ["app@1/app: published to s3://bucket/x/m"]
    assert not (tmp_path / "unsigned").exists()


def test_what_is_built_from_a_developers_folder_is_published_only_if_the_target_is_private(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(APP, develop_folders=["/home/me/app"])
    for name in ("public", "private"):
        (tmp_path / name).mkdir()
    recorder, lines = published(tmp_path / "public", S3, spec=spec)
    assert recorder.result.telemetry.publish == Publish(state="developed")
    assert recorder.outcome is Outcome.BUILT
    assert lines == ["app@1/app: not published: it is built from /home/me/app (--private if the build cache is private)"]
    recorder, _ = published(tmp_path / "private", S3, PACKED, PUSHED, spec=spec, private=True)
    assert recorder.result.telemetry.publish
    assert recorder.result.telemetry.publish.state == "published"


def test_without_a_target_the_unsigned_binary_stays(tmp_path: Path) -> None:
    recorder, lines = published(tmp_path, None, PACKED)
    publish = recorder.result.telemetry.publish
    assert publish
    assert (recorder.outcome, publish.state, publish.url) == (Outcome.BUILT, "unpublished", (tmp_path / "unsigned").as_uri())
    assert lines == []


@pytest.mark.parametrize(
    ("answers", "outcome", "code", "message"),
    [
        ([(1, b"==> Error: full\n")], Outcome.PUBLISH_FAILED, 100, "Spack could not write the binary: ==> Error: full"),
        ([PACKED, (100, b'{"error": "refused", "outcome": "publish_failed"}')], Outcome.PUBLISH_FAILED, 100, "refused"),
        ([PACKED, (2, b'{"error": "no such key", "outcome": "bad_request"}')], Outcome.BAD_REQUEST, 2, "no such key"),
        ([PACKED, (137, b"")], Outcome.PUBLISH_FAILED, 100, "spack-farm publish ended with 137, and printed nothing"),
        ([TimedOut("too late")], Outcome.TIMED_OUT, 124, "too late"),
        ([PACKED, TimedOut("too late")], Outcome.TIMED_OUT, 124, "too late"),
        ([OSError("no memory")], Outcome.PUBLISH_FAILED, 100, "no memory"),
        # the disk has room: what Spack printed is not enough
        ([(1, b"[Errno 28] No space left on device")], Outcome.PUBLISH_FAILED, 100,
         "Spack could not write the binary: [Errno 28] No space left on device"),
        ([OSError(28, "No space left on device")], Outcome.DISK_FULL, 5, "a file of the agent: No space left on device"),
    ],
)  # fmt: skip
def test_a_failure_has_the_class_of_its_error(
    tmp_path: Path, answers: list[Any], outcome: Outcome, code: int, message: str
) -> None:
    recorder, lines = published(tmp_path, S3, *answers)
    document = recorder.result.telemetry
    assert (recorder.outcome, document.exit_code) == (outcome, code)
    assert document.publish
    assert document.publish.state == "failed"
    assert lines == [f"app@1/app: {message}"]


def test_half_a_binary_is_deleted(tmp_path: Path) -> None:
    published(tmp_path, S3, (1, b"==> Error: killed\n"))
    assert not (tmp_path / "unsigned").exists()


def test_an_interruption_is_not_a_failure_to_publish(tmp_path: Path) -> None:
    recorder, lines = published(tmp_path, S3, Interrupted(15))
    document = recorder.result.telemetry
    assert (recorder.outcome, document.exit_code, document.publish) == (Outcome.INTERRUPTED, 143, None)
    assert lines == []


def test_what_must_not_be_redistributed_is_not_pushed_and_that_is_no_failure(tmp_path: Path) -> None:
    recorder, lines = published(tmp_path, S3, (0, b'{"packed": [], "not_redistributable": ["app"]}\n'))
    publish = recorder.result.telemetry.publish
    assert publish
    assert (recorder.outcome, publish.state, publish.url) == (Outcome.BUILT, "not_redistributable", "")
    assert lines[0].startswith("app@1/app: not published: its recipe says that its binary must not be redistributed")
    assert not (tmp_path / "unsigned").exists()


def test_on_this_machine_it_may_stay_as_an_unsigned_binary(tmp_path: Path) -> None:
    recorder, _ = published(tmp_path, None, (0, b'{"packed": ["app"], "not_redistributable": ["app"]}\n'))
    publish = recorder.result.telemetry.publish
    assert publish
    assert publish.state == "unpublished"
