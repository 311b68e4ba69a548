"""A kubeconfig that cannot be used is named, whatever it holds instead."""

from pathlib import Path

import pytest

from autoscaler.cluster.api import connect
from autoscaler.errors import BadRequest


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"a: [", b"- a", b"3", b"\xff\xfe", b"clusters: 3\ncontexts: 3\ncurrent-context: a"]
)
def test_a_file_that_is_no_kubeconfig(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match=f"^the kubeconfig {path} can't be used: [^\n]+; see service.kubeconfig$"):
        connect(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"/none can't be used: there is no such file; see service\.kubeconfig"):
        connect(str(tmp_path / "none"))
