"""Pieces of HTML and SVG that are always escaped: a plain string is foreign text, only `Html` passes as it is.

Foreign text is cut, made visible and escaped here and nowhere else, so a page is safe and bounded by construction. Does not
know telemetry.
"""

import base64
import hashlib
import html
from importlib import resources
from urllib.parse import quote, urlsplit

from buildjob.report import foreign_text

TEXT_LIMIT = 300
_VOID = frozenset({"meta", "br", "input"})
_STYLE = resources.files(__package__).joinpath("page.css").read_text("utf-8")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


class Html(str):
    """Markup that is already safe."""

    __slots__ = ()


def text(value: str, *, limit: int = TEXT_LIMIT) -> Html:
    """Return foreign text as content of an element: unprintable characters visible, cut, escaped."""
    return Html(html.escape(foreign_text.escape_and_cut(value, limit=limit), quote=False))


def attribute(name: str, value: str, *, limit: int = TEXT_LIMIT) -> Html:
    """Return an attribute, with foreign text as its value as `text` does it, and quotes escaped too."""
    return Html(f'{name}="{html.escape(foreign_text.escape_and_cut(value, limit=limit), quote=True)}"')


def element(tag: str, /, *children: str, **attributes: str | float | None) -> Html:
    """Return an element. Plain children and all attribute values are foreign text; an attribute of None is omitted.

    A trailing underscore of an attribute's name is dropped, others become hyphens (`class_`, `aria_label`).
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is not None:
            written = value if isinstance(value, str) else format_number(value)
            parts.append(attribute(name.removesuffix("_").replace("_", "-"), written))
    opening = f"<{' '.join(parts)}>"
    return Html(opening) if tag in _VOID else Html(f"{opening}{join(*children)}</{tag}>")


def path(d: str, *, class_: str) -> Html:
    """Return an SVG path. Its data is ours, from numbers only, and longer than foreign text may be."""
    return Html(f"<path {attribute('class', class_)} {attribute('d', d, limit=len(d))}></path>")


def join(*children: str) -> Html:
    """Return the pieces one after the other; plain strings are foreign text."""
    return Html("".join(child if isinstance(child, Html) else text(child) for child in children))


def format_number(value: float) -> str:
    """Return a coordinate: at most two decimals, no exponent."""
    rounded = round(value, 2)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)


def document(*, title: Html, body: Html, style: str = "", script: str = "") -> str:
    """Return a whole page. `style` joins that of all pages; `script` is ours: the policy allows it by its checksum."""
    allowed = f"; script-src 'sha256-{_checksum(script)}'" if script else ""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Html(f"<meta {attribute('http-equiv', 'Content-Security-Policy')} {attribute('content', _POLICY + allowed)}>"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content="spack-farm"),
        element("title", title),
        Html(f"<style>{_STYLE}{style}</style>"),
    )
    last = Html(f"<script>{script}</script>") if script else Html()
    return f"<!DOCTYPE html>\n{element('html', head, element('body', body, last), lang='en')}\n"


def _checksum(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def file_link(label: Html, path: str, *, fragment: str = "") -> Html:
    """Return a link to a file below the page's folder or beside it; `path` is relative, with `/` between plain names.

    An empty path is the page itself; `fragment` is ours.
    """
    quoted = quote(path.encode("utf-8", "surrogateescape"), safe="/.-_~+@=,") + (f"#{fragment}" if fragment else "")
    return Html(f"<a {attribute('href', quoted, limit=len(quoted))}>{label}</a>")


def link(label: str, url: str) -> Html:
    """Return a link if the URL is a plain http or https one; else the label and the URL as text.

    A URL with a user or a password in it is not a link either, and loses them: they may be a token.
    """
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname, parts.scheme
        secret = "@" in parts.netloc
    except ValueError:
        return join(label, " ", element("code", url))
    if secret:
        url = parts._replace(netloc="***@" + parts.netloc.rpartition("@")[2]).geturl()
    # urlsplit and browsers drop tabs and line feeds inside a URL: the URL that is shown must be the one that is opened.
    if secret or scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url or len(url) > TEXT_LIMIT:
        return join(label, " ", element("code", url))
    return element("a", label, href=url, rel="noopener noreferrer nofollow")
