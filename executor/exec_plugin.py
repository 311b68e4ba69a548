"""Credential plugins: programs that a kubeconfig names, which print a token or a client certificate.

Source: Kubernetes client-go 0.34, plugin/pkg/client/auth/exec, and the API group client.authentication.k8s.io. A plugin has
no terminal and no input here, and its own words are part of the error message when it fails.
"""

import json
import os
import signal
import subprocess
from pathlib import Path

import msgspec

from executor.errors import ClusterError
from executor.kubeconfig import Exec

_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_MODES = ("", "Never", "IfAvailable")
_LONGEST_MESSAGE = 1000


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The status of an ExecCredential."""

    token: str = ""
    client_certificate_data: str = ""
    client_key_data: str = ""


class _ExecCredential(msgspec.Struct, frozen=True, kw_only=True):
    kind: str = ""
    api_version: str = msgspec.field(default="", name="apiVersion")
    status: Answer | None = None


def check_plugin(plugin: Exec) -> None:
    """Raise ClusterError naming the field in which a plugin asks for what cannot be given."""
    if not plugin.command:
        raise ClusterError("exec names no command")
    if plugin.api_version not in _VERSIONS:
        raise ClusterError(f"exec.apiVersion {plugin.api_version!r} is not supported; there are {' and '.join(_VERSIONS)}")
    if plugin.interactive_mode not in _MODES:
        raise ClusterError(
            f"exec.interactiveMode {plugin.interactive_mode!r} cannot be given: a job has no terminal; there are Never and "
            "IfAvailable"
        )
    if any(not variable.name for variable in plugin.env):
        raise ClusterError("exec.env has a variable without a name")


def call_plugin(
    plugin: Exec, *, cluster: dict[str, object], folder: Path, environ: dict[str, str], timeout_seconds: float
) -> Answer:
    """Run a plugin and return what it prints. Raises ClusterError with the plugin's own message.

    `cluster` is what a plugin with `provideClusterInfo` is given; `folder` is the kubeconfig's.
    """
    command = str(folder / plugin.command) if "/" in plugin.command else plugin.command
    spec: dict[str, object] = {"interactive": False} | ({"cluster": cluster} if plugin.provide_cluster_info else {})
    request = {"kind": "ExecCredential", "apiVersion": plugin.api_version, "spec": spec}
    variables = environ | {one.name: one.value for one in plugin.env} | {"KUBERNETES_EXEC_INFO": json.dumps(request)}
    try:
        process = subprocess.Popen(
            [command, *plugin.args], env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            process_group=0,
        )  # fmt: skip
    except OSError as error:
        hint = f"; {plugin.install_hint}" if plugin.install_hint else ""
        raise ClusterError(f"the exec plugin {plugin.command} could not be started: {error.strerror}{hint}") from error
    with process:
        try:
            output, complaint = process.communicate(timeout=timeout_seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # the whole group: a child of the plugin may hold its output open
            if isinstance(error, subprocess.TimeoutExpired):
                raise ClusterError(f"the exec plugin {plugin.command}: no answer within {timeout_seconds:.0f} s") from error
            raise
    if process.returncode:
        words = complaint.decode("utf-8", "replace").strip()[-_LONGEST_MESSAGE:]
        raise ClusterError(
            f"the exec plugin {plugin.command} ended with {process.returncode}: {words or 'without a message'}"
        )
    return _answer(plugin, output)


def _answer(plugin: Exec, output: bytes) -> Answer:
    """Return what a plugin has printed. Raises ClusterError; never quotes the output, which holds secrets."""
    what = f"the exec plugin {plugin.command}"
    try:
        credential = msgspec.json.decode(output, type=_ExecCredential)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ClusterError(f"{what} printed no ExecCredential: {error}") from error
    if credential.kind != "ExecCredential" or credential.api_version != plugin.api_version:
        raise ClusterError(
            f"{what} printed {credential.kind or 'nothing'} of {credential.api_version or 'no version'}, "
            f"not an ExecCredential of {plugin.api_version}"
        )
    status = credential.status or Answer()
    if not status.token and not status.client_certificate_data:
        raise ClusterError(f"{what} printed neither a token nor a client certificate")
    if bool(status.client_certificate_data) != bool(status.client_key_data):
        raise ClusterError(f"{what} printed a client certificate without its key, or a key alone")
    return status
