"""Where a key may come from, and what is said of what is not a file or a pipe with something in it."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from buildjob.buildcache.gpg.key_source import find_source
from buildjob.errors import RequestError


@pytest.fixture
def piped() -> Iterator[Callable[[bytes], str]]:
    """Return the name of a pipe's end, as a shell gives it for `<(command)`."""
    ends: list[int] = []

    def make(data: bytes) -> str:
        reader, writer = os.pipe()
        ends.append(reader)
        os.write(writer, data)
        os.close(writer)
        return f"/dev/fd/{reader}"

    yield make
    for end in ends:
        os.close(end)


def test_a_file_is_read_when_it_is_needed_and_its_link_is_not_followed_before(tmp_path: Path) -> None:
    (tmp_path / "1").write_text("old")
    (tmp_path / "key").symlink_to("1")
    source = find_source(str(tmp_path / "key"), "--key")
    (tmp_path / "2").write_text("new")
    (tmp_path / "key").unlink()
    (tmp_path / "key").symlink_to("2")
    assert source.file
    assert source.file.read_text() == "new"
    assert source.content == source.file


def test_a_pipe_is_read_once_and_never_shown(piped: Callable[[bytes], str]) -> None:
    source = find_source(piped(b"a secret"), "--key")
    assert source.content == b"a secret"
    assert "a secret" not in repr(source)


def test_a_named_pipe_may_be_opened_before_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Timer(0.2, (tmp_path / "pipe").write_bytes, [b"late"])
    writer.start()
    assert find_source(str(tmp_path / "pipe"), "--key").held == b"late"
    writer.join()


def test_what_is_no_file_with_something_in_it_is_rejected_as_what_it_is(
    tmp_path: Path, piped: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "home" / "private-keys-v1.d").mkdir(parents=True)
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(bytes((1 << 20) + 1))
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    faults = {
        "folder": "this is a folder; give a file",
        "home": "It is a GnuPG home: gpg --homedir",
        "empty": "it is empty",
        "large": "larger than 1 MiB",
        "absent": "there is no such file",
        "dangling": "it is a link to nowhere, which does not exist",
        "circle": "Too many levels of symbolic links",
        "empty/below": "there is no such file",
        "n" * 200: "there is no such file",
        "a\0b": "there is no such file",
        "/dev/null": "nothing came from it",
        "/dev/zero": "larger than 1 MiB",
        "/dev/fd/987": "there is no such file",
        piped(b""): "nothing came from it; the command that writes it may have failed",
    }
    for text, fault in faults.items():
        with pytest.raises(RequestError) as rejected:
            find_source(text, "--key")
        assert str(rejected.value).startswith(f"--key {text}: "), text
        assert fault in str(rejected.value), text


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nsecret\n-----END PGP PRIVATE KEY BLOCK-----", "key"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK----- secret", "key"),
        ("secret\nsecret", "key"),
        ("secret/" * 60, "key"),
        ("secret" * 60, "key"),
        ("secret", "passphrase"),
        ("secret/horse", "passphrase"),
        ("/secret/battery", "passphrase"),
        ("secret\0", "passphrase"),
    ],
)
def test_a_secret_that_is_given_instead_of_a_file_is_not_shown(text: str, holds: str) -> None:
    with pytest.raises(RequestError) as rejected:
        find_source(text, "--key", holds=holds)
    assert str(rejected.value).startswith("--key: there is no file of that name")
    assert f"the {holds} itself" in str(rejected.value)
    assert "variable of type File" in str(rejected.value)
    assert "secret" not in str(rejected.value)


def test_the_path_of_a_missing_passphrase_in_a_folder_is_shown(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"^--key {tmp_path}/phrase: there is no such file"):
        find_source(f"{tmp_path}/phrase", "--key", holds="passphrase")
