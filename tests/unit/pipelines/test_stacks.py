"""stacks.toml: its cells, what is rejected, and the parent pipeline of a matrix."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

from pipelines import matrix, stacks
from pipelines.errors import BadRequest
from pipelines.inside.gitlab import limits
from tests.labs.gitlab_schema import gitlab_schema

SCHEMA = gitlab_schema()
TEXT = """
[defaults]
tags = ["{target}"]
image = "registry.example/spack:{os}"
mirror = "s3://binaries/{stack}/{os}/{target}"
include = ["configs/ci.yaml", "/etc/spack.yaml"]

[[stack]]
name = "hpc"
packages = ["hdf5+mpi ~fortran", "zlib"]
versions = { hdf5 = ["1.14.5", "1.12.3"] }
compilers = ["gcc@13.2.0", "clang@18"]
os = ["debian12", "rocky9"]
targets = ["x86_64_v3", "neoverse_v1"]
exclude = [
  { os = "rocky9", target = "neoverse_v1" },
  { package = "hdf5", version = "1.12.3", compiler = "clang@18" },
]

[[stack]]
name = "tools"
packages = ["cmake"]
tags = ["small"]
"""


def cells(text: str = TEXT) -> list[stacks.Cell]:
    return stacks.cells(stacks.read(text, "stacks.toml"))


def test_a_cell_is_a_stack_on_an_operating_system_and_a_target() -> None:
    assert [cell.name for cell in cells()] == [
        "hpc-debian12-x86_64_v3",
        "hpc-debian12-neoverse_v1",
        "hpc-rocky9-x86_64_v3",
        "tools",
    ]
    first = cells()[0]
    assert (first.image, first.tags) == ("registry.example/spack:debian12", ("x86_64_v3",))
    assert first.mirror == "s3://binaries/hpc/debian12/x86_64_v3"
    assert cells()[-1].tags == ("small",)


def test_a_cell_has_all_specs_but_the_excluded_ones() -> None:
    place = "os=debian12 target=x86_64_v3"
    assert cells()[0].specs == (
        f"hdf5@1.14.5+mpi ~fortran %gcc@13.2.0 {place}",
        f"hdf5@1.14.5+mpi ~fortran %clang@18 {place}",
        f"hdf5@1.12.3+mpi ~fortran %gcc@13.2.0 {place}",
        f"zlib %gcc@13.2.0 {place}",
        f"zlib %clang@18 {place}",
    )
    assert cells()[-1].specs == ("cmake",)


def test_the_environment_of_a_cell_includes_files_from_beside_the_matrix() -> None:
    spack = yaml.safe_load(cells()[0].manifest("../../project"))["spack"]
    assert spack["include"] == ["../../project/configs/ci.yaml", "/etc/spack.yaml"]
    assert spack["mirrors"] == {"buildcache-destination": "s3://binaries/hpc/debian12/x86_64_v3"}
    assert spack["ci"]["pipeline-gen"] == [{"any-job": {"image": "registry.example/spack:debian12", "tags": ["x86_64_v3"]}}]
    assert spack["view"] is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("[[stack]]", "[[stak]]"), r"unknown key stak \(did you mean stack\?\)"),
        (('packages = ["cmake"]', ""), "missing required field `packages`"),
        (('packages = ["cmake"]', "packages = 1"), "Expected `array`"),
        (('name = "tools"', 'name = "../x"'), "is no name of a stack"),
        (('name = "tools"', 'name = "hpc-rocky9-x86_64_v3"'), "two cells have the name"),
        (('["cmake"]', '["%gcc"]'), "is no package"),
        (("hdf5 = [", "hdf = ["), "versions of hdf, which is not among its packages"),
        (('os = "rocky9", target', 'os = "rocky8", target'), "an exclusion has the os rocky8"),
        (('os = "rocky9", target = "neoverse_v1"', ""), "would leave out everything"),
        (("spack:{os}", "spack:{compiler}"), r"has \{compiler\}"),
        (("[defaults]", "[defaults"), "stacks.toml"),
        (("[defaults]", "defaults = 1\n[other]"), "unknown key other"),
        (
            ("[[stack]]", "[[stack]]\ncompiler = []"),
            r"unknown key stack.hpc.compiler \(did you mean stack.hpc.compilers\?\)",
        ),
        (("[defaults]", "[defaults]\nmiror = 1"), r"unknown key defaults.miror \(did you mean defaults.mirror\?\)"),
    ],
)
def test_a_matrix_that_cannot_work_is_rejected_with_its_place(change: tuple[str, str], reason: str) -> None:
    assert change[0] in TEXT
    with pytest.raises(BadRequest, match=reason):
        cells(TEXT.replace(*change))


def test_a_matrix_without_cells_and_one_with_too_many_are_rejected() -> None:
    one = '[[stack]]\nname = "a"\npackages = ["zlib"]\ncompilers = ["gcc"]\nexclude = [{compiler = "gcc"}]\n'
    with pytest.raises(BadRequest, match="has no cell"):
        cells(one)
    many = f'[[stack]]\nname = "a"\npackages = ["zlib"]\ntargets = {[f"t{number}" for number in range(1001)]}\n'
    with pytest.raises(BadRequest, match="1001 cells; at most 1000"):
        cells(many)
    versions = json.dumps([str(number) for number in range(20_001)])
    with pytest.raises(BadRequest, match="20001 specs; at most 20000"):
        cells(f'[[stack]]\nname = "a"\npackages = ["zlib"]\nversions = {{zlib = {versions}}}\n')


def test_the_parent_generates_each_cell_in_its_image_and_triggers_its_child() -> None:
    read = stacks.read(TEXT, "stacks.toml")
    document = matrix.parent(read, stacks.cells(read), "ci/stacks.toml")
    text, faults = matrix.text(document, limits.Limits())
    assert faults == []
    assert matrix.text(document, limits.Limits())[0] == text
    jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load(text))
    generate = document["generate hpc-rocky9-x86_64_v3"]
    assert generate["image"] == "registry.example/spack:rocky9"
    assert "--cell hpc-rocky9-x86_64_v3 --on-failure pipeline" in generate["script"][0]
    # no cell waits for another one
    graph = limits.graph_of(document)
    assert graph["tools"] == ["yaml tools"]
    assert graph["yaml tools"] == ["generate tools"]
    assert graph["generate tools"] == []


def test_a_script_of_the_matrix_replaces_ours() -> None:
    read = stacks.read('script = ["my-generator {cell}"]\n' + TEXT, "stacks.toml")
    assert matrix.parent(read, stacks.cells(read), "x")["generate tools"]["script"] == ["my-generator tools"]


def real_stacks() -> Iterator[tuple[str, list[str]]]:
    """The stacks of Spack's own pipelines: names, and the packages that are named plainly."""
    path = Path(__file__).resolve().parents[4] / "shared/data/sizing/stack_specs.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there: specs of Spack's own stacks")
    found: dict[str, list[str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["stack"], [])
            if not row["package"].startswith("<"):
                found[row["stack"]].append(row["package"])
    yield from found.items()


def test_a_matrix_of_spacks_own_stacks_is_one_parent_within_the_limits() -> None:
    named = [(name, packages or ["zlib"]) for name, packages in real_stacks()]
    text = "".join(
        f"[[stack]]\nname = {json.dumps(name)}\npackages = {json.dumps(packages)}\nimage = 'i:{{stack}}'\n"
        for name, packages in named
    )
    read = stacks.read(text, "stacks.toml")
    found = stacks.cells(read)
    assert len(found) == len(named) >= 24
    document = matrix.parent(read, found, "stacks.toml")
    written, faults = matrix.text(document, limits.Limits())
    assert faults == []
    jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load(written))
