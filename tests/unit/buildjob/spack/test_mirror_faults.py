"""What is wrong with a mirror or a source's address -> what it means: the tables."""

import ast
from pathlib import Path

import pytest

from buildjob.spack import mirror_faults
from buildjob.spack.mirror_faults import MirrorFault, SourceFault, silent_fault

_INSIDE = Path(mirror_faults.__file__).parent / "inside"
_LATER = ("timeout", "refused", "disconnected", "unreachable", "name_later", "busy", "io", "unknown")
_NEVER = ("name", "certificate", "tls", "denied", "credentials", "http", "garbled", "configuration")
_PARTIAL = ("index", "entry", "damaged", "no_folder", "no_bucket")


def fault(mirror: str, kind: str) -> MirrorFault:
    return MirrorFault(mirror=mirror, url=f"s3://{mirror}", kind=kind)


def found_kinds() -> set[str]:
    """The kinds that the code in Spack's Python can give: of its tables, and of the functions that decide on one."""
    tree = ast.parse((_INSIDE / "mirror_access.py").read_text())
    values: list[ast.expr] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BOTO_KINDS":
            values += [each for each in ast.walk(node.value) if isinstance(each, ast.Dict) for each in each.values]
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "KINDS":
            values += [row.elts[1] for row in ast.walk(node.value) if isinstance(row, ast.Tuple) and len(row.elts) == 2]
        if isinstance(node, ast.FunctionDef) and node.name.startswith("kind_of"):
            values += [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
    found: set[str] = set()
    while values:
        value = values.pop()
        if isinstance(value, ast.IfExp):
            values += [value.body, value.orelse]
        elif isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
            found.add(value.value)
    return found


def test_each_kind_that_is_found_has_a_meaning() -> None:
    known = {*_LATER, *_NEVER, *_PARTIAL}
    assert {"certificate", "denied", "timeout", "name_later", "no_bucket"} <= found_kinds() <= known | {"absent"}
    for kind in known - set(_LATER):
        assert fault("m", kind).advice != fault("m", "of a later version").advice, kind


@pytest.mark.parametrize("kind", [*_LATER, *_NEVER, *_PARTIAL])
def test_a_sentence_names_the_mirror_its_address_and_no_password(kind: str) -> None:
    named = MirrorFault(mirror="farm", url="https://user:pass@host/x", kind=kind, text="see https://a:b@host")
    assert "mirror 'farm'" in named.sentence
    assert "host/x" in named.sentence
    assert "pass" not in named.sentence
    assert "a:b" not in named.sentence
    assert named.is_silent is (kind not in _PARTIAL)


# fmt: off
CASES: list[tuple[list[MirrorFault], str, list[str], bool, str]] = [
    ([], "", ["a"], True, ""),
    ([fault("a", "refused")], "", ["a"], True, "a"),
    ([fault("a", "refused")], "", ["a", "b"], True, ""),  # the other one answers
    ([fault("a", "refused"), fault("b", "name")], "", ["a", "b"], True, "a"),
    ([fault("a", "refused")], "", ["a"], False, ""),  # nothing was to be chosen: what is needed is looked up by hash
    ([fault("a", "index")], "", ["a"], True, ""),
    ([fault("t", "refused")], "t", ["t", "a"], True, "t"),
    ([fault("t", "refused")], "t", ["t", "a"], False, "t"),
    ([fault("a", "refused")], "t", ["t", "a"], True, "a"),  # the target may be new and empty: it is not another source
    ([fault("t", "no_bucket")], "t", ["t"], True, ""),
]
# fmt: on


@pytest.mark.parametrize(("faults", "target", "others", "asked", "named"), CASES)
def test_which_mirror_planning_cannot_do_without(
    faults: list[MirrorFault],
    target: str,
    others: list[str],
    asked: bool,  # noqa: FBT001  a column of the table
    named: str,
) -> None:
    found = silent_fault(faults, target=target, others=others, index_asked=asked)
    assert (found.mirror if found else "") == named


@pytest.mark.parametrize(
    ("kind", "may_pass"),
    [
        *((kind, True) for kind in (*_LATER, "garbled")),
        *((kind, False) for kind in (*_NEVER, "absent", "checksum", "program", "ref") if kind != "garbled"),
    ],
)
def test_a_retry_is_advised_only_where_it_may_help(kind: str, may_pass: bool) -> None:  # noqa: FBT001  as above
    source = SourceFault(url="u", kind=kind, text="because")
    assert source.may_pass is may_pass
    assert source.reason.endswith(": because")
