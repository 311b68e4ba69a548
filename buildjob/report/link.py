"""Where something of a run is to be found: what the page and the terminal table point to."""

import msgspec


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A place to point to."""

    label: str
    url: str
    """A URL or a path. The page links http and https only and shows everything else as text."""
    is_beside: bool = False
    """`url` is the plain name of a file that lies beside the page: it is linked."""
