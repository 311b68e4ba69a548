"""Finds the way to the API server: a kubeconfig, or the pod's own service account, and the proxy between.

All that a kubeconfig may say is used, has no effect on access (`preferences`, `extensions`), or is rejected by its name. The
one module that may import `kubernetes`: for OpenID Connect, whose refresh tokens have rules beyond a kubeconfig's.
Source: Kubernetes client-go 0.34, tools/clientcmd/client_config.go, rest/config.go, transport/round_trippers.go.
"""

import binascii
import os
import re
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from executor import credentials
from executor.credentials import SERVICE_ACCOUNT, Credentials, Source
from executor.environment import process_environment
from executor.errors import ClusterError, DriverError
from executor.exec_plugin import Answer, call_plugin, check_plugin
from executor.kube import tls_context
from executor.kubeconfig import Chosen, Cluster, User, choose
from executor.proxy_choice import proxy_fault, proxy_of

_PLUGIN_SECONDS = 120.0
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HEADER_NAME = "!#$&'*+^`|~"  # besides letters, digits and -._
_LONGEST_LABEL = 63
_EXEC_EXTENSION = "client.authentication.k8s.io/exec"


def resolve(
    source: Source,
    environ: dict[str, str],
    *,
    warn: Callable[[str], None] = lambda _: None,
    plugin_seconds: float = _PLUGIN_SECONDS,
) -> Credentials:
    """Return credentials; `warn` gets what is strange and changes nothing. Raises ClusterError naming what was tried."""
    try:
        if not source.kubeconfig and SERVICE_ACCOUNT.exists():
            found = _of_service_account(environ)
        else:
            found = _of_kubeconfig(source, environ, warn, plugin_seconds)
        _check_certificates(found)
    except (ClusterError, OSError, UnicodeError) as error:
        raise ClusterError(
            f"no access to a cluster: {source.tried}: {str(error).rstrip('.')}; see kubernetes.kubeconfig"
        ) from error
    return msgspec.structs.replace(found, source=source)


def renew_here(folder: str, plugin_seconds: str) -> None:
    """Resolve the credentials of an attempt's folder again and keep them; an error is printed on standard error."""
    attempt_folder = Path(folder)
    try:
        source = credentials.load(attempt_folder).source
        credentials.save(resolve(source, process_environment(), plugin_seconds=float(plugin_seconds)), attempt_folder)
    except DriverError as error:
        sys.exit(str(error))


def _of_service_account(environ: dict[str, str]) -> Credentials:
    """Return the access of the pod that the driver runs in."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise ClusterError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    authority, namespace = SERVICE_ACCOUNT / "ca.crt", SERVICE_ACCOUNT / "namespace"
    return Credentials(
        server=server,
        token=_header_value(_text(SERVICE_ACCOUNT / "token").strip(), str(SERVICE_ACCOUNT / "token")),
        authority=_pem(_text(authority), str(authority), "CERTIFICATE") if authority.exists() else "",
        namespace=_text(namespace).strip() if namespace.exists() else "default",
        proxy=_checked_proxy(proxy_of(server, environ), f"the proxy for {server} in the environment"),
    )


def _of_kubeconfig(
    source: Source, environ: dict[str, str], warn: Callable[[str], None], plugin_seconds: float
) -> Credentials:
    """Return the access that a context of one or more kubeconfigs describes."""
    home = environ.get("HOME", "")
    names = source.kubeconfig or environ.get("KUBECONFIG") or f"{home}/.kube/config"
    paths = [Path(home + name[1:] if name.startswith("~/") else name) for name in names.split(os.pathsep) if name]
    files = {path: path.read_bytes() for path in paths if path.exists()}  # kubectl skips those that are not there
    if not files:
        raise ClusterError(f"{names} does not exist")
    chosen = choose(files, source.context)
    for key in chosen.unknown:
        warn(f"kubeconfig {key} is not a key of a kubeconfig and is ignored")
    what = f"context {chosen.context!r}"
    cluster, user = chosen.cluster, chosen.user
    server = _server(cluster, user, what)
    if cluster.proxy_url:
        proxy = _checked_proxy(cluster.proxy_url, f"{what}: proxy-url {_shown(cluster.proxy_url)}")
    else:
        proxy = _checked_proxy(proxy_of(server, environ), f"the proxy for {server} in the environment")
    authority = _authority(chosen, what)
    access = _user_access(chosen, what, lambda: _plugin_answer(chosen, server, environ, plugin_seconds))
    return msgspec.structs.replace(
        access, server=server, authority=authority, verify=not cluster.insecure_skip_tls_verify,
        tls_server_name=cluster.tls_server_name, proxy=proxy, impersonate=_impersonation(user, what),
        namespace=chosen.namespace or "default",
    )  # fmt: skip


def _server(cluster: Cluster, user: User, what: str) -> str:
    """Return the server's URL; without a scheme it is https where anything of TLS is named, as kubectl reads it."""
    server = cluster.server.rstrip("/")
    if not server:
        raise ClusterError(f"{what}: the cluster names no server")
    if "://" not in server:
        authority = cluster.certificate_authority or cluster.certificate_authority_data
        certificate = user.client_certificate or user.client_certificate_data
        server = f"{'https' if authority or certificate or cluster.insecure_skip_tls_verify else 'http'}://{server}"
    try:
        url = urlsplit(server)
        host, _ = url.hostname, url.port
    except ValueError as error:
        raise ClusterError(f"{what}: server {server!r}: {error}") from error
    is_name = host and all(0 < len(label) <= _LONGEST_LABEL for label in host.removesuffix(".").split("."))
    if url.scheme not in {"http", "https"} or not is_name or url.username is not None:
        raise ClusterError(f"{what}: server {_shown(server)!r} is not a URL such as https://HOST:6443")
    if url.query or url.fragment:
        raise ClusterError(f"{what}: server {server!r} has a query, which no API server has")
    return server


def _authority(chosen: Chosen, what: str) -> str:
    cluster = chosen.cluster
    authority = _one_of(
        cluster.certificate_authority_data, cluster.certificate_authority, chosen.cluster_folder,
        f"{what}: certificate-authority", "CERTIFICATE",
    )  # fmt: skip
    if authority and cluster.insecure_skip_tls_verify:
        raise ClusterError(f"{what}: insecure-skip-tls-verify and certificate-authority exclude each other")
    return authority


def _user_access(chosen: Chosen, what: str, ask_plugin: Callable[[], Answer]) -> Credentials:
    """Return the user's part of the credentials; `ask_plugin` calls the plugin that the user names."""
    user, folder = chosen.user, chosen.user_folder
    token = user.token
    if user.token_file:
        token = _text(folder / user.token_file).strip()
        if not token:
            raise ClusterError(f"{what}: tokenFile {user.token_file} is empty")
    token = _header_value(token.strip(), f"{what}: token")
    certificate = _one_of(
        user.client_certificate_data, user.client_certificate, folder, f"{what}: client-certificate", "CERTIFICATE"
    )
    key = _one_of(user.client_key_data, user.client_key, folder, f"{what}: client-key", "KEY")
    if bool(certificate) != bool(key):
        raise ClusterError(f"{what}: {'client-key' if certificate else 'client-certificate'} is missing")
    _check_user(user, what, has_token=bool(token))
    if user.exec:
        if not token and not user.username:  # what the file itself says goes before what a plugin says
            answer = ask_plugin()
            token = _header_value(answer.token, "the exec plugin's token")
            if answer.client_certificate_data:
                certificate = _pem(answer.client_certificate_data, "the exec plugin's client certificate", "CERTIFICATE")
                key = _pem(answer.client_key_data, "the exec plugin's client key", "KEY")
    elif user.auth_provider:
        token = token or _provider_token(user, what)
    return Credentials(
        server="",
        token=token,
        username=user.username,
        password=user.password,
        client_certificate=certificate,
        client_key=key,
    )


def _check_user(user: User, what: str, *, has_token: bool) -> None:
    """Raise ClusterError if a user says what cannot be sent, or cannot be sent together."""
    if has_token and (user.username or user.password):
        raise ClusterError(f"{what}: the user has a token and a user name, of which only one can be sent")
    if ":" in user.username:
        raise ClusterError(f"{what}: username has a colon, which basic authentication cannot send")
    if user.exec and user.auth_provider:
        raise ClusterError(f"{what}: exec and auth-provider exclude each other")
    if user.exec:
        check_plugin(user.exec)


def _plugin_answer(chosen: Chosen, server: str, environ: dict[str, str], seconds: float) -> Answer:
    """Call the user's plugin. What it may know of the cluster has the keys of `ExecCredential.spec.cluster`."""
    cluster, plugin = chosen.cluster, chosen.user.exec
    assert plugin is not None
    authority = _authority(chosen, "certificate-authority").encode()
    known = {
        "server": server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "certificate-authority-data": binascii.b2a_base64(authority, newline=False).decode(),
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
        "config": next((one.extension for one in cluster.extensions if one.name == _EXEC_EXTENSION), None),
    }
    given = {key: value for key, value in known.items() if value}
    return call_plugin(plugin, cluster=given, folder=chosen.user_folder, environ=environ, timeout_seconds=seconds)


def _provider_token(user: User, what: str) -> str:
    """Return the token of a login that is built into clients. Raises ClusterError if it is not OpenID Connect's."""
    provider = user.auth_provider
    assert provider is not None
    if provider.name != "oidc":
        raise ClusterError(
            f"{what}: auth-provider {provider.name!r} is not supported: Kubernetes 1.26 removed all "
            "but `oidc`; name an exec plugin"
        )
    from kubernetes import client, config  # noqa: PLC0415 (half a second; only for this)

    configuration: Any = client.Configuration()
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://unused.invalid"}}], "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "users": [{"name": "c", "user": {"auth-provider": msgspec.to_builtins(provider)}}],
    }  # fmt: skip
    try:
        config.load_kube_config_from_dict(document, client_configuration=configuration, persist_config=False)
    except Exception as error:  # it raises what the libraries beneath it raise
        raise ClusterError(f"{what}: auth-provider oidc: {error!r}") from error
    keys = configuration.api_key  # `BearerToken` since client 36, `authorization` before
    scheme, _, token = str(keys.get("BearerToken") or keys.get("authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ClusterError(f"{what}: auth-provider oidc gives no token: log in again, or name an exec plugin")
    return _header_value(token, f"{what}: auth-provider oidc")


def _impersonation(user: User, what: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that name the user for whom requests are sent."""
    if not user.as_:
        for name, value in (("as-uid", user.as_uid), ("as-groups", user.as_groups), ("as-user-extra", user.as_user_extra)):
            if value:
                raise ClusterError(f"{what}: {name} needs `as`, the user in whose name requests are sent")
        return ()
    found = [("Impersonate-User", user.as_)]
    found += [("Impersonate-Uid", user.as_uid)] if user.as_uid else []
    found += [("Impersonate-Group", group) for group in user.as_groups]
    for key, values in user.as_user_extra.items():
        name = quote(key, safe=_HEADER_NAME)
        found += [(f"Impersonate-Extra-{name}", value) for value in values]
    return tuple((name, _header_value(value, f"{what}: as")) for name, value in found)


def _one_of(data: str, path: str, folder: Path, what: str, kind: str) -> str:
    """Return PEM blocks, from a `-data` key or, without it, from a file."""
    if data:
        try:
            text = binascii.a2b_base64("".join(data.split()), strict_mode=True).decode("utf-8", "replace")
        except ValueError as error:
            raise ClusterError(f"{what}-data is not base64: {error}") from error
        return _pem(text, f"{what}-data", kind)
    return _pem(_text(folder / path), f"{what} {path}", kind) if path else ""


def _pem(text: str, what: str, kind: str) -> str:
    """Return the PEM blocks of a text, without what may stand between them."""
    blocks = [found.group(0) for found in _PEM.finditer(text) if found.group(1).endswith(kind)]
    if not blocks:
        raise ClusterError(f"{what} holds no PEM block of a {kind.lower()}")
    return "\n".join(blocks) + "\n"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _header_value(value: str, what: str) -> str:
    """Return a value that can stand in a header of a request."""
    if _CONTROL.search(value):
        raise ClusterError(f"{what} holds a control character")
    return value


def _checked_proxy(proxy: str, what: str) -> str:
    fault = proxy_fault(proxy) if proxy else ""
    if fault:
        raise ClusterError(f"{what}: {fault}")
    return proxy


def _shown(url: str) -> str:
    """Return a URL without the user name and password that it may hold."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _check_certificates(found: Credentials) -> None:
    """Raise ClusterError if TLS cannot use what was found: later, each connection would fail without naming it."""
    if not found.server.startswith("https:"):
        return
    try:
        tls_context(found)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", "") or str(error)
        raise ClusterError(f"the certificates for {found.server} cannot be used: {reason}") from error
