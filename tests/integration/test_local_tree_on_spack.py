"""What a build leaves in Spack's tree and in an environment is what stock `spack install` would leave."""

import shutil
from pathlib import Path

import pytest

from tests.labs.spack.lab import SpackLab, read_telemetry
from tests.labs.spack.project import RECIPE, Project

pytestmark = pytest.mark.spack


class Tree(Project):
    """An environment with an install tree of its own."""

    def explicit(self) -> set[str]:
        """The names of the packages that Spack counts as asked for."""
        return set(self.spack("-e", self.folder, "find", "--explicit", "--format", "{name}").stdout.split())

    def linked(self, view: str = "view") -> set[str]:
        """The packages that a view of the environment shows."""
        return {path.name for path in (self.folder / view).glob("made-*")}


_MADE = shutil.ignore_patterns("tree", "view", "._view", ".spack-env")
_RECIPE = RECIPE.replace('"made"', '"made-" + spec.name').replace(
    "file.write(spec.name)",
    """source = spec.variants.get("dev_path")
            file.write(open(join_path(source.value, "source")).read() if source else "")""",
)
_PACKAGES = {
    "low_thing": "",
    "mid_thing": 'depends_on("low-thing", type=("build", "link"))',
    "top_thing": 'depends_on("mid-thing", type=("build", "link", "run"))\n    depends_on("broken-check", type="test")',
    "side_thing": 'depends_on("low-thing", type="link")',
    "broken_check": "",
}


@pytest.fixture(scope="module")
def concretized(lab: SpackLab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that was concretized with its test dependencies, one of which can't be built; to be copied."""
    folder = tmp_path_factory.mktemp("tree")
    packages = folder / "spack_repo" / "mine" / "packages"
    for name, more in _PACKAGES.items():
        recipe = packages / name / "package.py"
        recipe.parent.mkdir(parents=True)
        recipe.write_text(_RECIPE.format(name=name.title().replace("_", ""), more=more))
    broken = packages / "broken_check" / "package.py"
    broken.write_text(
        broken.read_text().replace("with open", "raise InstallError('a broken test dependency')\n        with open", 1)
    )
    (packages.parent / "repo.yaml").write_text("repo: {namespace: mine, api: v2.2}\n")
    (folder / "source").mkdir()
    (folder / "source" / "source").write_text("first")
    project = Tree(lab, folder)
    write(project)
    project.spack("-e", folder, "concretize", "--test", "root")
    return folder


def write(project: Project, **changes: object) -> None:
    """Write the manifest."""
    project.write(
        **{
            "specs": ["top-thing", "side-thing"],
            "config": {"install_tree": {"root": "./tree"}},
            "mirrors": {},
            "view": {"default": {"root": "./view"}},
        }
        | changes
    )


@pytest.fixture
def tree(lab: SpackLab, concretized: Path, tmp_path: Path) -> Tree:
    """A copy of the environment, with nothing installed."""
    return Tree(lab, shutil.copytree(concretized, tmp_path / "tree", ignore=_MADE))


def test_a_build_leaves_marks_and_views_as_stock_spack_does(tree: Tree, tmp_path: Path) -> None:
    """What only tests need is neither built nor missed; what is asked for later is marked, and a lost view is made."""
    done = tree.build(tree.folder, "--out", tmp_path / "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree.explicit() == {"top-thing", "side-thing"}
    assert tree.linked() == {"made-top-thing", "made-mid-thing", "made-low-thing", "made-side-thing"}
    assert "broken-check" not in done.stdout
    stock = Tree(tree.lab, shutil.copytree(tree.folder, tmp_path / "stock", ignore=_MADE))
    stock.spack("-e", stock.folder, "install")
    assert (stock.explicit(), stock.linked()) == (tree.explicit(), tree.linked())

    (tree.folder / "view").unlink()
    write(tree, specs=["low-thing"])
    tree.spack("-e", tree.folder, "concretize", "--force")
    again = tree.build(tree.folder, "--out", tmp_path / "2")
    assert again.returncode == 0, again.stdout
    assert "to be built" not in again.stdout
    assert (tree.explicit(), tree.linked()) == ({"low-thing"}, {"made-low-thing"})


def test_a_cached_package_over_one_that_is_not_cached_is_fetched_in_between(tree: Tree, tmp_path: Path) -> None:
    """Spack installs nothing from a build cache before its link dependencies are there."""
    hashes, mirror = tree.hashes(), tmp_path / "mirror"
    tree.spack("-e", tree.folder, "install", "mid-thing")
    tree.spack("-e", tree.folder, "buildcache", "push", "--unsigned", "--only=package", mirror, "mid-thing")
    shutil.rmtree(tree.folder / "tree")
    done = tree.build(
        tree.folder, "--hash", hashes["top-thing"], "--mirror", mirror, "--unsigned", "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name.split("-1.0")[0] for path in (tmp_path / "out").glob("*-1.0*")) == ["low-thing", "top-thing"]
    assert tree.explicit() == {"top-thing"}


def test_a_view_that_cannot_be_made_is_a_warning(tree: Tree, tmp_path: Path) -> None:
    (tree.folder / "view").mkdir()
    (tree.folder / "view" / "mine").touch()
    done = tree.build(tree.folder, "--hash", tree.hashes()["low-thing"], "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout
    assert f"{tree.folder}/view" in done.stdout
    assert "env view regenerate" in done.stdout
    assert read_telemetry(tmp_path / "out", "low-thing").outcome == "built"


def test_changed_sources_of_a_developer_are_built_again_and_published_only_to_a_private_mirror(
    tree: Tree, tmp_path: Path
) -> None:
    source, mirror = tree.folder / "source", tmp_path / "mirror"
    write(tree, specs=["mid-thing"], develop={"low-thing": {"spec": "low-thing@1.0", "path": str(source)}})
    tree.spack("-e", tree.folder, "concretize", "--force")
    target = ("--mirror", mirror, "--unsigned")
    first = tree.build(tree.folder, *target, "--private", "--out", tmp_path / "1")
    assert first.returncode == 0, first.stdout
    manifests = {path: path.stat().st_mtime_ns for path in mirror.glob("v3/manifests/spec/*/*")}
    assert sorted(path.parent.name for path in manifests) == ["low-thing", "mid-thing"]
    same = tree.build(tree.folder, *target, "--out", tmp_path / "2")
    assert "already in the build cache" in same.stdout, same.stdout
    (source / "source").write_text("second")
    again = tree.build(tree.folder, *target, "--out", tmp_path / "3")
    assert again.returncode == 0, again.stdout
    for name in ("low-thing", "mid-thing"):
        document = read_telemetry(tmp_path / "3", name)
        assert document.publish
        assert (document.outcome, document.publish.state) == ("built", "developed")
    assert {path: path.stat().st_mtime_ns for path in mirror.glob("v3/manifests/spec/*/*")} == manifests
    assert (tree.folder / "view" / "made-low-thing").read_text() == "second"
    shutil.rmtree(source)
    gone = tree.build(tree.folder, *target, "--out", tmp_path / "4")
    assert gone.returncode == 2, gone.stdout
    assert f"low-thing@1.0/{tree.hashes()['low-thing'][:7]}: the folder {source}, which it is developed in" in gone.stderr
