"""What is shown of a run before it is built again, and which of its variables are set."""

from pathlib import Path

import pytest

from buildjob.ci.reproduce import describe, require_one_spec, variables_of
from buildjob.errors import RequestError
from buildjob.telemetry import Reproduce
from tests.labs.telemetry_samples import change, sample


def test_only_variables_of_the_allow_list_are_set() -> None:
    given = {
        "MAKEFLAGS": "-j1",
        "LANG": "C",
        "PATH": "/evil",
        "LD_PRELOAD": "/evil.so",
        "SPACK_ENV": "/x",
        "AWS_SECRET": "s",
    }
    assert variables_of(sample(reproduce=Reproduce(variables=given))) == {"MAKEFLAGS": "-j1", "LANG": "C"}


def test_foreign_text_cannot_move_the_cursor() -> None:
    document = sample()
    shown = describe(change(document, spec=change(document.spec, name="x\x1b[2Jy\rz\u202e")), {"LANG": "C\nrm"})
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "\u202e" not in shown
    assert "C?rm" in shown


def _spec_file(folder: Path, name: str, dag_hash: str) -> None:
    (folder / "spec.json").write_text(f'{{"spec": {{"nodes": [{{"name": "{name}", "hash": "{dag_hash}"}}, {{}}]}}}}')


def test_the_spec_that_is_shown_is_the_one_that_is_built(tmp_path: Path) -> None:
    document = sample()
    _spec_file(tmp_path, document.spec.name, document.spec.hash)
    require_one_spec(tmp_path, document)
    for name, dag_hash in (("other\\u001b[2J", document.spec.hash), (document.spec.name, "a" * 32)):
        _spec_file(tmp_path, name, dag_hash)
        with pytest.raises(RequestError, match="they are not of one run") as raised:
            require_one_spec(tmp_path, document)
        assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "{}", '{"spec": {"nodes": []}}', "[" * 100_000, "\x00"])
def test_what_is_no_concrete_spec_is_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.json").write_text(text)
    with pytest.raises(RequestError, match=r"spec\.json: not a concrete spec: "):
        require_one_spec(tmp_path, sample())
