"""A script that the Runner names and that cannot be read is the manager's fault, never the job's."""

from pathlib import Path

import pytest

from executor.call import Call, read_script
from executor.environment import read_invocation
from executor.errors import Blame, SettingsError
from executor.log import Log
from executor.settings import load_settings


def test_a_script_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    environ = {"TMPDIR": str(tmp_path), "JOB_RESPONSE_FILE": str(tmp_path / "response.json")}
    call = Call(
        invocation=read_invocation(environ), settings=load_settings(None), job_log=Log(1), script=tmp_path / "script"
    )
    with pytest.raises(SettingsError, match=f"{tmp_path}/script: No such file or directory") as raised:
        read_script(call)
    assert raised.value.blame is Blame.SYSTEM
    call.script.write_bytes(b"echo\n")
    assert read_script(call) == b"echo\n"
