"""A streaming XML writer over lxml that cannot write what CDash cannot read: it cleans every text.

Does not know which elements there are. Obeys: how CDash 5.3 reads (PHP's SAX parser, one `text()` call per fragment): a
field set with `=` is written as one short CDATA section (`fragment`), all other text with entities.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from lxml import etree

from ctest_xml.text import clean, one_line

Attributes = Mapping[str, str]


class XmlStream:
    """Writes one document to a binary file, element by element; memory holds one element."""

    def __init__(self, sink: Any) -> None:
        self._sink = sink
        self._depth = 0

    @contextmanager
    def element(self, tag: str, attributes: Attributes | None = None) -> Iterator[None]:
        """Write an element around what is written inside the `with`."""
        with self._sink.element(tag, {name: clean(value) for name, value in (attributes or {}).items()}):
            self._sink.write("\n")
            self._depth += 1
            yield
            self._depth -= 1
        if self._depth:
            self._sink.write("\n")

    def tree(self, node: etree._Element) -> None:
        """Write a small element whose texts are already clean (see `leaf` and `fragment`)."""
        self._sink.write(node)
        self._sink.write("\n")

    def text(self, tag: str, text: str | int, attributes: Attributes | None = None) -> None:
        """Write an element that holds one text, of any length; with entities if needed."""
        node = etree.Element(tag, {name: clean(value) for name, value in (attributes or {}).items()})
        node.text = clean(str(text))
        self.tree(node)

    def fragment(self, tag: str, value: str) -> None:
        """Write an element of which CDash keeps only the last fragment: one line, at most 255 bytes, as CDATA if needed."""
        node = etree.Element(tag)
        set_fragment(node, value)
        self.tree(node)

    def stream(self, tag: str, pieces: Iterable[str], attributes: Attributes | None = None) -> None:
        """Write an element that holds a long text, given in pieces; this cleans them."""
        with self._sink.element(tag, dict(attributes or {})):
            for piece in pieces:
                if cleaned := clean(piece):
                    self._sink.write(cleaned)
        self._sink.write("\n")


@contextmanager
def document(out: BinaryIO) -> Iterator[XmlStream]:
    """Write an XML document in UTF-8 to `out`."""
    with etree.xmlfile(out, encoding="UTF-8") as sink:
        sink.write_declaration()
        yield XmlStream(sink)


def leaf(parent: etree._Element, tag: str, text: str | int) -> None:
    """Append an element that holds one cleaned text."""
    etree.SubElement(parent, tag).text = clean(str(text))


def fragment(parent: etree._Element, tag: str, value: str) -> None:
    """Append an element of which CDash keeps only the last fragment."""
    set_fragment(etree.SubElement(parent, tag), value)


def set_fragment(node: etree._Element, value: str) -> None:
    """Set an element's text as one fragment: as CDATA if an entity would split it."""
    line = one_line(value)
    node.text = etree.CDATA(line) if any(letter in line for letter in "&<>") else line
