import pytest

from ctest_xml.places import Tree, find_place, shorten

NOWHERE = Tree()
TREE = Tree(source_directory="/build/sample/lab/project", build_directory="/build/sample/lab/bld")
OLD_TREE = Tree(source_directory=TREE.source_directory, build_directory=TREE.build_directory, keep_slash=False)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"Warning W8004 a.cpp 12: unused", (b"a.cpp", 12)),
        (b"src/a.c:3:2: error: bad", (b"src/a.c", 3)),
        (b"C:\\src\\a.c(7): error C2065", (b"C:/src/a.c", 7)),
        (b"2>a.cpp(9) : error", (b"a.cpp", 9)),
        (b'  File "a.py", line 4', (b"a.py", 4)),
        (b"cc-1 CC: ERROR File = a.f, Line = 5", (b"a.f", 5)),
        ('lcc: "a.c", строка 6: ошибка'.encode(), (b"a.c", 6)),
        (b"nothing here", None),
        (b"a.c:99999999999999999999: error", (b"a.c", 999999999999999999)),
    ],
)
def test_a_line_names_its_place(line: bytes, found: tuple[bytes, int] | None) -> None:
    assert find_place(line, NOWHERE) == found


@pytest.mark.parametrize(
    ("line", "tree", "file"),
    [
        (b"/build/sample/lab/project/src/a.c:3: error", TREE, b"/src/a.c"),
        (b"/build/sample/lab/project/src/a.c:3: error", OLD_TREE, b"src/a.c"),
        (b"../project/src/a.c:3: error", OLD_TREE, b"src/a.c"),  # relative to the build directory
        (b"gen/b.c:3: error", TREE, b"/build/sample/lab/bld/gen/b.c"),
        (b"/usr/include/c.h:3: error", TREE, b"/usr/include/c.h"),
        (b"/.../project/src/a.c:3: error", TREE, b"src/a.c"),
        (b"/.../a.c:3: error", TREE, b"a.c"),
        (b"a.c:3: error", Tree(build_directory="/b"), b"/b/a.c"),
    ],
)
def test_a_path_is_relative_to_the_source_directory(line: bytes, tree: Tree, file: bytes) -> None:
    assert find_place(line, tree) == (file, 3)


def test_a_place_that_is_nothing_but_the_source_directory_is_none() -> None:
    assert find_place(b"/build/sample/lab/project:3: error", TREE) is None


def test_only_the_parents_of_long_directories_are_shortened() -> None:
    assert shorten(b"cd /build/sample/lab/project && ls /build/sample/lab/bld", TREE) == b"cd /.../project && ls /.../bld"
    assert shorten(b"cd /b/project", Tree(source_directory="/b/project")) == b"cd /b/project"
