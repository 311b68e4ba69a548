"""What a build leaves in Spack's tree and in an environment is what stock `spack install` would leave."""

import os
import shutil
import time
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
    """And what only tests need is neither built nor missed."""
    done = tree.build(tree.folder, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tree.explicit() == {"top-thing", "side-thing"}
    assert tree.linked() == {"made-top-thing", "made-mid-thing", "made-low-thing", "made-side-thing"}
    assert "broken-check" not in done.stdout
    stock = Tree(tree.lab, shutil.copytree(tree.folder, tmp_path / "stock", ignore=_MADE))
    stock.spack("-e", stock.folder, "install")
    assert (stock.explicit(), stock.linked()) == (tree.explicit(), tree.linked())


def test_an_installed_dependency_that_is_asked_for_becomes_explicit(tree: Tree, tmp_path: Path) -> None:
    """And a view that is missing is made, although nothing is built."""
    assert tree.build(tree.folder, "--out", tmp_path / "1").returncode == 0
    (tree.folder / "view").unlink()
    write(tree, specs=["top-thing", "side-thing", "low-thing"])
    tree.spack("-e", tree.folder, "concretize", "--force")
    done = tree.build(tree.folder, "--out", tmp_path / "2")
    assert done.returncode == 0, done.stdout
    assert tree.explicit() == {"top-thing", "side-thing", "low-thing"}
    assert "made-low-thing" in tree.linked()


def test_a_view_that_cannot_be_made_is_a_warning(tree: Tree, tmp_path: Path) -> None:
    (tree.folder / "view").mkdir()
    (tree.folder / "view" / "mine").touch()
    done = tree.build(tree.folder, "--hash", tree.hashes()["side-thing"], "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout
    assert f"{tree.folder}/view" in done.stdout
    assert "env view regenerate" in done.stdout
    assert read_telemetry(tmp_path / "out", "side-thing").outcome == "built"


def test_changed_sources_of_a_developer_are_built_again_with_what_uses_them(tree: Tree, tmp_path: Path) -> None:
    source = tree.folder / "source"
    write(tree, develop={"low-thing": {"spec": "low-thing@1.0", "path": str(source)}})
    tree.spack("-e", tree.folder, "concretize", "--force")
    first = tree.build(tree.folder, "--out", tmp_path / "1")
    assert first.returncode == 0, first.stdout
    same = tree.build(tree.folder, "--out", tmp_path / "2")
    assert "to be built" not in same.stdout, same.stdout
    time.sleep(0.01)
    (source / "source").write_text("second")
    os.utime(source / "source")
    again = tree.build(tree.folder, "--out", tmp_path / "3")
    assert again.returncode == 0, again.stdout
    built = sorted(path.name.split("-1.0")[0] for path in (tmp_path / "3").iterdir())
    assert built == ["low-thing", "mid-thing", "side-thing", "top-thing"]
    assert (tree.folder / "view" / "made-low-thing").read_text() == "second"
    assert tree.explicit() == {"top-thing", "side-thing"}
