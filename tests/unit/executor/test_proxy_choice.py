"""Which proxy the environment names for an API server: the rules of Go programs, kubectl among them."""

import pytest

from executor.proxy_choice import proxy_of

SERVER = "https://api.example.org:6443"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ""),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "http://upper", "https_proxy": "http://lower"}, "http://upper"),
        ({"HTTPS_PROXY": "", "https_proxy": "p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "http://p:1", "ALL_PROXY": "http://p:1"}, ""),
        ({"HTTPS_PROXY": "socks5://p:1"}, "socks5://p:1"),
    ],
)
def test_the_variable_of_the_servers_scheme_names_it(environ: dict[str, str], expected: str) -> None:
    assert proxy_of(SERVER, environ) == expected


def test_a_server_without_tls_has_a_variable_of_its_own() -> None:
    assert proxy_of("http://api", {"HTTP_PROXY": "p:1", "HTTPS_PROXY": "p:2"}) == "http://p:1"


@pytest.mark.parametrize(
    ("server", "exceptions", "direct"),
    [
        (SERVER, "example.org", True),
        (SERVER, ".example.org", True),
        (SERVER, "*.example.org", True),
        (SERVER, " a.b , EXAMPLE.org ", True),
        (SERVER, "api.example.org:6443", True),
        (SERVER, "api.example.org:443", False),
        (SERVER, "ample.org", False),
        (SERVER, ".api.example.org", False),
        (SERVER, "*", True),
        (SERVER, ",,", False),
        ("https://10.96.0.1", "10.96.0.0/12", True),
        ("https://10.96.0.1", "10.96.0.1:443", True),
        ("https://10.96.0.1", "10.96.0.1:6443", False),
        ("https://10.96.0.1", "10.9", False),
        ("https://10.96.0.1", "10.0.0.0/99", False),
        ("https://[fd00::1]:6443", "fd00::/8", True),
        ("https://[fd00::1]:6443", "[fd00::1]:6443", True),
        ("https://[fd00::1]:6443", "fd00::1", True),
        ("https://[fd00::1]:6443", "fd00::2", False),
        ("https://localhost:6443", "", True),
        ("https://127.0.0.9:6443", "", True),
        ("https://[::1]:6443", "", True),
    ],
)
def test_no_proxy_names_what_is_reached_directly(server: str, exceptions: str, *, direct: bool) -> None:
    assert (proxy_of(server, {"HTTPS_PROXY": "p:1", "NO_PROXY": exceptions}) == "") == direct
