"""A strict reader of our own pages: a tree of elements, or an AssertionError if the markup is not well nested.

The standard library's parser finds the pieces as browsers do; this reader rejects what browsers forgive.
"""

import dataclasses
from collections.abc import Iterator
from html.parser import HTMLParser

_VOID = frozenset({"meta", "br", "col", "input"})


@dataclasses.dataclass
class Node:
    """An element: its attributes in order, its children and texts in order."""

    tag: str
    attributes: dict[str, str]
    children: list["Node | str"] = dataclasses.field(default_factory=list)

    def text(self) -> str:
        """Return all text inside."""
        return "".join(child if isinstance(child, str) else child.text() for child in self.children)

    def walk(self) -> Iterator["Node"]:
        """Return the element and all below it, in document order."""
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def all(self, tag: str, class_: str = "") -> list["Node"]:
        """Return the elements of a kind, of a class if one is given."""
        classes = [(node, node.attributes.get("class", "").split()) for node in self.walk() if node.tag == tag]
        return [node for node, its in classes if not class_ or class_ in its]

    def one(self, tag: str, class_: str = "") -> "Node":
        """Return the only element of a kind."""
        found = self.all(tag, class_)
        assert len(found) == 1, f"{len(found)} elements {tag}.{class_}"
        return found[0]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>: {names}"
        assert all(value is not None for _, value in attrs), f"an attribute without value in <{tag}>: {names}"
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> inside <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)

    def handle_comment(self, data: str) -> None:
        message = f"a comment: {data}"
        raise AssertionError(message)

    def handle_pi(self, data: str) -> None:
        message = f"a processing instruction: {data}"
        raise AssertionError(message)

    def unknown_decl(self, data: str) -> None:
        message = f"a declaration: {data}"
        raise AssertionError(message)


def read_html(page: str) -> Node:
    """Return the root, which holds the page's elements."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == [reader.root], f"left open: {[node.tag for node in reader.open[1:]]}"
    return reader.root


def outline(node: Node) -> list[tuple[str, ...]]:
    """Return the page's structure without its text: each element's tag and the names of its attributes."""
    return [(inner.tag, *inner.attributes) for inner in node.walk()]
