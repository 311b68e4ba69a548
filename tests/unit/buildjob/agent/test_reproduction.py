"""The commands and the folder by which a run is repeated: complete, bounded, without secrets."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from buildjob.agent import reproduction
from buildjob.agent.reproduction import Reproduction
from buildjob.agent.request import CommandBuild
from buildjob.spack.concrete import ConcreteSpec, Concretization, Configuration, Edge, Repository
from buildjob.spack.find import SpackInstallation


def _spec(name: str, *needs: str, **changes: Any) -> ConcreteSpec:
    edges = [Edge(name=need, version="1", hash=need, types=["link"]) for need in needs]
    known: dict[str, Any] = {"namespace": "mine", "recipe": name, "variants": {}, "installed": False} | changes
    return ConcreteSpec(
        hash=name, name=name, version="1", spec_file="", prefix="", stage_name="", external=False,
        binary="", architecture="", compiler="", dependencies=edges, **known,
    )  # fmt: skip


def _reproduction(*specs: ConcreteSpec, **changes: Any) -> Reproduction:
    configuration = changes.pop("configuration", Configuration())
    found = Concretization(
        environment="", external_roots=[], roots=[], specs=list(specs), mirrors=[], secret_variables=[], stage_root="",
        spack_version="1.1.0", spack_commit="c0ffee", packages_commit="ba5e", build_jobs=4, configuration=configuration,
    )  # fmt: skip
    installation = SpackInstallation(root=Path("/opt/my spack"), found="PATH", tools=changes.pop("tools", None))
    known: dict[str, Any] = {"variables": {}, "changing": {}, "jobs": 4, "host": "here"} | changes
    return Reproduction(found=found, installation=installation, **known)


def test_the_commands_name_spack_what_is_needed_and_both_ways() -> None:
    needs = ["mirror m: set A and B"]
    configuration = Configuration(needs=needs, repositories=[Repository(namespace="builtin", root="/b", is_configured=True)])
    assert _reproduction(configuration=configuration).commands(_spec("a")) == [
        "# in this folder, with spack-farm and Spack 1.1.0, commit c0ffee",
        "# package repository builtin at commit ba5e",
        "# mirror m: set A and B",
        "spack='/opt/my spack/bin/spack'; [ -x \"$spack\" ] || spack=$(command -v spack || echo spack)",
        "export SPACK_DISABLE_LOCAL_CONFIG=true",
        'spack-farm build --spack "$spack" -C reproduce -j4 ./spec.json',
        "# or with Spack alone:",
        '"$spack" -E -C reproduce install --use-buildcache package:never,dependencies:auto -j4 ./spec.json',
    ]


def test_what_is_developed_or_installed_is_said() -> None:
    commands = "\n".join(_reproduction().commands(_spec("a", develop_folders=["/src/a"], installed=True)))
    assert "# the sources that it is developed in, /src/a, as they were" in commands
    assert "# what is installed already is not built again" in commands


@pytest.mark.parametrize(
    ("variables", "command"),
    [
        ({"SPACK_USER_CACHE_PATH": "/my cache"}, "[ ! -d '/my cache' ] || export SPACK_USER_CACHE_PATH='/my cache'"),
        ({"SPACK_PYTHON": "/p/python"}, "[ ! -x /p/python ] || export SPACK_PYTHON=/p/python"),
    ],
)
def test_folders_of_this_machine_are_used_where_they_are(variables: dict[str, str], command: str) -> None:
    assert command in _reproduction(variables=variables).commands(_spec("a"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("MAKEFLAGS", "-k", ["export MAKEFLAGS=-k"]),
        ("CFLAGS", "-DX='a b'", ["export CFLAGS='-DX='\"'\"'a b'\"'\"''"]),
        ("LANG", "", ["export LANG=''"]),
        ("GOFLAGS", "-x=https://user:pass@host/", ["# GOFLAGS: too long, or not public: it is not set here"]),
        ("GOFLAGS", "-x=s3cr3t-value", ["# GOFLAGS: too long, or not public: it is not set here"]),
        ("CFLAGS", "x" * 1001, ["# CFLAGS: too long, or not public: it is not set here"]),
        ("PATH", "/bin", []),
        ("SPACK_ENV", "/e", []),
        ("SPACK_SYSTEM_CONFIG_PATH", "/etc", []),
    ],
)
def test_variables_that_change_builds_are_set_unless_they_are_of_the_machine_or_not_public(
    name: str, value: str, expected: list[str]
) -> None:
    assert list(reproduction.exports({name: value}, {"s3cr3t-value"})) == expected


@pytest.mark.parametrize("text", ["plain", "a b", "it's", "", "a\nb", "$HOME `x` \\", "ä 日本", '"', "!x", "*"])
def test_visible_text_is_quoted_as_it_is(text: str) -> None:
    assert shlex.split(reproduction.quote(text)) == [text]


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202e", "a\tb", "\udcff", "'\x07\\"])
def test_text_that_cannot_be_seen_is_written_in_numbers(text: str) -> None:
    quoted = reproduction.quote(text)
    assert quoted.isascii()
    assert quoted.isprintable()
    octal = quoted.removeprefix("\"$(printf %b '").removesuffix("')\"")
    assert _from_octal(octal) == text.encode("utf-8", "surrogateescape")


def _from_octal(text: str) -> bytes:
    first, *others = text.encode().split(b"\\0")
    return first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in others)


def test_a_command_build_names_its_folder_commit_variables_and_prefix() -> None:
    command = CommandBuild(command="make TOKEN=s3cr3t-value", name="n", version="1", prefix=Path("/p q"))
    assert reproduction.command_build(
        command, folder=Path("/s"), variables={"CC": "clang"}, secret_values=frozenset({"s3cr3t-value"}), commit="abc"
    ) == [
        "# with spack-farm, and the folder of the sources, at commit abc",
        "# it holds what is not public: put it in place of [MASKED]",
        "export CC=clang",
        "(cd /s && spack-farm build --command 'make TOKEN=[MASKED]' --name n --version 1 --prefix '/p q')",
        "# or without measuring it:",
        "(cd /s && sh -c 'make TOKEN=[MASKED]')",
    ]


def test_recipes_are_those_of_the_graph_and_of_what_patches_something_in_it() -> None:
    lib = _spec("lib", "zlib", variants={"patches": ["0f"]})
    specs = [_spec("zlib"), lib, _spec("app", "lib"), _spec("other", "zlib"), _spec("far", "app")]
    assert reproduction.recipes_of(lib, specs) == {("mine", "zlib"), ("mine", "lib"), ("mine", "app")}
    assert reproduction.recipes_of(specs[0], specs) == {("mine", "zlib")}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from spack_repo.mine.packages.base_thing.package import BaseThing", {"base_thing"}),
        ("    import spack_repo.a.b.packages.x.package as p", {"x"}),
        ("from spack.pkg.mine.old_one import OldOne", {"old_one"}),
        ("from spack_repo.mine.build_systems.generic import Package", set()),
        ("# see spack_repo.mine.packages.x.package", set()),
    ],
)
def test_what_a_recipe_imports_from_other_recipes(line: str, found: set[str]) -> None:
    assert reproduction.imported_recipes(f"import os\n{line}\n") == found


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A package repository with more than the graph needs."""
    root = tmp_path / "src/spack_repo/mine"
    files = {
        "repo.yaml": "repo: {namespace: mine, api: v2.2}\n",
        "build_systems/own.py": "pass\n",
        "packages/a/package.py": "from spack_repo.mine.packages.base.package import Base\ntoken = 's3cr3t-value'\n",
        "packages/a/fix.patch": "patch\n",
        "packages/a/__pycache__/package.cpython-311.pyc": "x",
        "packages/base/package.py": "pass\n",
        "packages/unused/package.py": "pass\n",
        ".git/config": "url = https://user:pass@host/\n",
        "LICENSE": "x",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _configured(root: Path, **changes: Any) -> Configuration:
    mine = Repository(namespace="mine", root=str(root), place="spack_repo/mine", packages="packages")
    mock = Repository(namespace="mock", root="/s/mock", reference="$spack/mock")
    return Configuration(repositories=[mine, mock], scope={"config": {"checksum": True}, "mirrors": {}}, **changes)


def test_the_folder_has_the_recipes_and_no_more(tmp_path: Path, repository: Path) -> None:
    run = _reproduction(_spec("a"), configuration=_configured(repository), secret_values=frozenset({"s3cr3t-value"}))
    assert run.save(_spec("a"), tmp_path) == []
    made = tmp_path / "reproduce"
    assert sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()) == [
        "config.yaml", "mirrors.yaml", "repos.yaml", "spack_repo/mine/build_systems/own.py",
        "spack_repo/mine/packages/a/fix.patch", "spack_repo/mine/packages/a/package.py",
        "spack_repo/mine/packages/base/package.py", "spack_repo/mine/repo.yaml",
    ]  # fmt: skip
    assert "s3cr3t" not in (made / "spack_repo/mine/packages/a/package.py").read_text()
    assert json.loads((made / "repos.yaml").read_text()) == {"repos:": {"mine": "./spack_repo/mine", "mock": "$spack/mock"}}
    assert json.loads((made / "mirrors.yaml").read_text()) == {"mirrors:": {}}


def test_the_repository_that_the_other_spack_configures_itself_stays(tmp_path: Path, repository: Path) -> None:
    builtin = Repository(namespace="builtin", root="/b", is_configured=True)
    configuration = _configured(repository)
    configuration.repositories.append(builtin)
    _reproduction(_spec("a"), configuration=configuration).save(_spec("a"), tmp_path)
    assert list(json.loads((tmp_path / "reproduce/repos.yaml").read_text())) == ["repos"]


@pytest.mark.parametrize(("host", "is_written"), [("node-1.example", True), ("x' or 'a'=='a", False), ("", False)])
def test_what_only_this_machine_has_is_bound_to_its_name(
    tmp_path: Path, repository: Path, host: str, *, is_written: bool
) -> None:
    here: dict[str, dict[str, object]] = {"config": {"install_tree": {"root": "/tree"}}}
    _reproduction(_spec("a"), configuration=_configured(repository, here=here), host=host).save(_spec("a"), tmp_path)
    include = tmp_path / "reproduce/include.yaml"
    assert include.exists() is is_written
    if is_written:
        assert json.loads(include.read_text())["include"][0]["when"] == "hostname == 'node-1.example'"
        assert json.loads((tmp_path / "reproduce/here/config.yaml").read_text()) == here


def test_a_huge_repository_is_cut_and_that_is_said(tmp_path: Path, repository: Path) -> None:
    for number in range(2100):
        (repository / f"packages/a/{number}.patch").write_text("x")
    (note,) = _reproduction(_spec("a"), configuration=_configured(repository)).save(_spec("a"), tmp_path)
    assert f"lacks files of {repository}" in note
