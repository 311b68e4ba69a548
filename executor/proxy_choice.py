"""Which proxy leads to an API server, by the environment: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as Go programs read them.

Pure. A kubeconfig's `proxy-url` wins over all of them and knows no exceptions. Source: golang.org/x/net/http/httpproxy.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

SCHEMES = ("http", "socks5", "socks5h")


def proxy_of(server: str, environ: dict[str, str]) -> str:
    """Return the URL of the proxy for a server's URL; "" if it is reached directly."""
    url = urlsplit(server)
    name = f"{url.scheme.upper()}_PROXY"
    proxy = environ.get(name) or environ.get(name.lower()) or ""
    if not proxy or _is_excepted(url, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def proxy_fault(proxy: str) -> str:
    """Return why a proxy's URL cannot be used; "" if it can."""
    try:
        url = urlsplit(proxy)
        host, _ = url.hostname, url.port
    except ValueError as error:
        return str(error)
    if url.scheme == "https":
        return "a proxy that is itself reached over TLS is not supported; there are " + ", ".join(SCHEMES)
    if url.scheme not in SCHEMES:
        return f"the scheme {url.scheme!r} is not supported; there are " + ", ".join(SCHEMES)
    return "" if host else "it names no host"


def _is_excepted(url: SplitResult, exceptions: str) -> bool:
    host = (url.hostname or "").lower()
    port = url.port or (443 if url.scheme == "https" else 80)
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry.strip().lower(), host, port, address) for entry in exceptions.split(","))


def _matches(entry: str, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    """Return whether an entry of NO_PROXY names a host."""
    if not entry:
        return False
    if entry == "*":
        return True
    if "/" in entry:
        try:
            network = ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
        return address is not None and address in network
    name, wanted_port = _name_and_port(entry)
    if wanted_port and wanted_port != str(port):
        return False
    if (wanted := _address(name)) is not None:
        return address == wanted
    name = name.removeprefix("*")
    # A name stands for its subdomains too; one that begins with a dot stands for those alone.
    return host == name or host.endswith(name if name.startswith(".") else f".{name}")


def _name_and_port(entry: str) -> tuple[str, str]:
    if entry.startswith("["):
        name, _, rest = entry[1:].partition("]")
        return name, rest.removeprefix(":")
    if entry.count(":") == 1:
        name, _, port = entry.partition(":")
        return name, port
    return entry, ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
