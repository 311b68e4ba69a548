import pytest

from ctest_xml import structure
from ctest_xml.structure import DOCUMENTS, Element, is_a

CHILDREN = {"A": Element(), "B": Element()}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (structure.STRING, ["", "any\ntext"], []),
        (structure.INT, ["0", "-2147483648", "+2147483647", " 7\n"], ["2147483648", "-2147483649", "1.5", "", "seven"]),
        (structure.UNSIGNED, ["0", "4294967295"], ["-1", "4294967296"]),
        (structure.UNSIGNED_LONG, ["18446744073709551615"], ["18446744073709551616", "-1"]),
        (structure.UNSIGNED_SHORT, ["65535"], ["65536", "-1"]),
        (structure.SHORT, ["-32768", "32767"], ["32768"]),
        (structure.INTEGER, ["-1", "9" * 5000], ["1.0", ""]),
        (structure.DECIMAL, ["1", "1.", ".5", "-0.25"], ["1e5", "NaN", ""]),
        (structure.FLOAT, ["1", "-1.5E+3", "INF", "-INF", "NaN"], ["inf", "1e", ""]),
        (structure.BOOLEAN, ["true", "false", "1", "0", " true "], ["True", "yes", ""]),
    ],
)
def test_the_types_are_those_of_xml_schema(kind: str, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if not is_a(kind, text)] == []
    assert [text for text in bad if is_a(kind, text)] == []


def test_a_number_of_absurd_length_is_refused_without_being_read() -> None:
    assert not is_a(structure.INT, "9" * 10**6)


@pytest.mark.parametrize(
    ("order", "good", "bad"),
    [
        ("A B", [["A", "B"]], [[], ["A"], ["B", "A"], ["A", "B", "B"]]),
        ("A? B*", [[], ["A"], ["A", "B", "B"]], [["B", "A"], ["A", "A"]]),
        ("(A|B)+", [["A"], ["B", "A", "B"]], [[]]),
        ("A+", [["A", "A"]], [[], ["B"]]),
    ],
)
def test_children_stand_in_the_order_that_the_schema_gives(order: str, good: list[list[str]], bad: list[list[str]]) -> None:
    element = Element(order=order, children=CHILDREN)
    assert [names for names in good if element.misplaced(names)] == []
    assert [names for names in bad if not element.misplaced(names)] == []


def test_a_name_is_not_taken_for_the_beginning_of_another() -> None:
    element = Element(order="A AB", children={"A": Element(), "AB": Element()})
    assert not element.misplaced(["A", "AB"])
    assert element.misplaced(["AB", "A"])


def test_required_attributes_are_marked() -> None:
    element = Element(attributes={"name!": structure.STRING, "size": structure.INT})
    assert element.types == {"name": structure.STRING, "size": structure.INT}
    assert element.required == ("name",)


def walk(element: Element) -> list[Element]:
    return [element, *(below for child in element.children.values() for below in walk(child))]


@pytest.mark.parametrize("kind", list(DOCUMENTS))
def test_every_order_names_known_children_only(kind: str) -> None:
    for element in walk(DOCUMENTS[kind][1]):
        named = set("".join(letter if letter.isalnum() else " " for letter in element.order).split())
        assert named - {"Nothing"} <= set(element.children)
