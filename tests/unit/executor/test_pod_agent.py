"""What the driver and agent.c say to each other is one table, in pod_agent.py: the program's text obeys it."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from executor import pod_agent
from executor.agent_files import agent_files, architecture_of
from executor.errors import SettingsError
from executor.pod_agent import agent_argv, driver_line, start_script
from executor.settings import load_settings

TEXT = Path(pod_agent.__file__).with_name("agent.c").read_text()
HEADER = TEXT[: TEXT.index("*/")]
OWN = {"start": 1, "first": 6}
"""Commands that only the program itself and the start scripts know, with the number of their words."""


def function(name: str) -> str:
    """Return the body of one function of the program."""
    found = re.search(rf"^static [^\n]*\b{name}\([^\n]*\)\n\{{\n(.*?)^\}}", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found[1]


def test_the_agent_has_the_commands_of_the_table_with_as_many_arguments() -> None:
    table = TEXT[TEXT.index("} commands[] = {") :]
    found = {name: int(words) for name, words in re.findall(r'^\t\{"(\w+)", (\d), \w+\},$', table, re.MULTILINE)}
    assert found == {name: len(arguments) for name, arguments in pod_agent.COMMANDS.items()} | OWN


@pytest.mark.parametrize("command", pod_agent.COMMANDS)
def test_the_program_lists_its_arguments_in_the_order_of_the_table(command: str) -> None:
    line = re.search(rf"^ \*   agent {command} ([A-Z |\[\]=.]+)", HEADER, re.MULTILINE)
    assert line is not None
    listed = [word.lower() for word in line[1].replace("TERM|KILL", "SIGNAL").split() if word.isupper()]
    assert listed[: len(pod_agent.COMMANDS[command])] == [*pod_agent.COMMANDS[command]]


def test_the_agent_writes_the_keywords_of_the_table() -> None:
    written = set(re.findall(r'\bsay\("([a-z_.]+)', function("follow") + function("run") + function("tell_result")))
    counters = {keyword for keyword in written if keyword.startswith(pod_agent.COUNTERS)}
    assert written - counters == {*pod_agent.AGENT_LINES}


def test_the_counters_have_the_names_that_the_driver_knows_them_by() -> None:
    names = re.findall(r'"([a-z]+\.[\w.]*)"\);', function("write_counters"))
    assert len(names) > 8
    assert all(name.startswith(pod_agent.COUNTERS) for name in names), names


def test_the_agent_reads_the_lines_of_the_table() -> None:
    body = function("listen_to_driver")
    assert set(re.findall(r'"(\w+) ', body)) == {*pod_agent.DRIVER_LINES}
    assert body.count("%lld") >= len(pod_agent.DRIVER_LINES["acked"])


def test_the_facts_have_the_keys_of_the_table() -> None:
    bodies = "".join(map(function, ("find_shell", "tell_runner_version", "tell_facts", "wait_facts")))
    written = re.findall(r'printf\((?:out, )?"((?:\w+ [^"]*\\n)|end\\n)', bodies)
    assert {line.split()[0].removesuffix("\\n") for line in written} | {"quoting"} == {*pod_agent.FACTS}
    assert pod_agent.FACTS_BEGIN.strip() in TEXT


def test_arguments_stand_in_the_protocols_order_with_variables_after_them() -> None:
    variables = {"A": "it's $HOME; `x`"}
    argv = agent_argv(
        "build", "run", variables=variables, stage="s-0", size=4, received=3, base=2, segment=1, last="no"
    )  # fmt: skip
    run = ["/.spack-farm-agent/agent", "run", "/.spack-farm/build", "s-0", "1", "2", "3", "4", "no"]
    assert argv == [*run, "A=it's $HOME; `x`"]
    assert agent_argv("helper", "wait_facts", seconds=9)[-2:] == ["/.spack-farm", "9"]
    with pytest.raises(KeyError):
        agent_argv("build", "run", segment=1)


def test_a_pod_of_version_1_is_spoken_to_as_its_driver_did() -> None:
    position: dict[str, Any] = {"segment": 1, "base": 2, "received": 3, "size": 4}
    argv = agent_argv("build", "run", protocol=1, stage="s-0", last="no", **position)
    assert argv == ["sh", "/.spack-farm/build/agent", "run", "s-0", "1", "2", "3", "4"]
    last = agent_argv("build", "run", protocol=1, stage="s", last="last", variables={"A": "b c"}, **position)
    assert last[:2] == ["sh", "-c"]
    assert last[3:] == ["variables", "A=b c", "--", "sh", "/.spack-farm/build/agent", "run", "s", "1", "2", "3", "4", "last"]
    signal = agent_argv("build", "signal", protocol=1, stage="s", signal="TERM")
    assert signal == ["sh", "/.spack-farm/build/agent", "signal", "s", "TERM"]


def test_a_line_for_the_agent_has_its_fields_in_order() -> None:
    assert driver_line("acked", total=6, segment=2) == b"acked 2 6\n"
    assert driver_line("alive", number="17.4") == b"alive 17.4\n"


def test_the_start_script_has_the_words_of_the_first_process() -> None:
    """The kernel takes at most 255 bytes of a script's first line."""
    script = start_script("build", orphan_after_seconds=900, umask="inherit")
    shebang, line, rest = script.split("\n")
    assert shebang == "#!/.spack-farm-agent/agent start"
    assert line.startswith("exec /.spack-farm-agent/agent first /.spack-farm build 900 inherit /sys/fs/cgroup /")
    assert len(line.split()) == 3 + OWN["first"]
    assert not rest


@pytest.mark.parametrize(("architecture", "machine"), [("amd64", 62), ("arm64", 183)])
def test_there_is_a_small_static_program_for_each_architecture(architecture: str, machine: int) -> None:
    """Source: elf(5). A program with an interpreter would need the image's libraries."""
    files = agent_files(architecture, orphan_after_seconds=900, helper_umask="0000")
    program = base64.b64decode(files["binaryData"]["agent"])
    assert program[:5] == b"\x7fELF\x02"
    assert int.from_bytes(program[18:20], "little") == machine
    size, count = (int.from_bytes(program[place : place + 2], "little") for place in (54, 56))
    begin = int.from_bytes(program[32:40], "little")
    kinds = {int.from_bytes(program[begin + size * place :][:4], "little") for place in range(count)}
    assert 3 not in kinds, "PT_INTERP"
    assert len(program) < 256 << 10, "a config map has at most 1 MiB"
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    assert f"source {digest}".encode() in program, "executor/agent.c has changed: run scripts/agent"


def test_files_with_other_content_have_another_name() -> None:
    options = [(900, "0000"), (901, "0000"), (900, "inherit")]
    named = {
        agent_files(architecture, orphan_after_seconds=seconds, helper_umask=umask)["metadata"]["name"]
        for seconds, umask in options
        for architecture in ("amd64", "arm64")
    }
    assert len(named) == 6


@pytest.mark.parametrize(
    ("selector", "helper", "architecture"),
    [
        ({}, "registry.example/helper:x86_64-v19.4.0", "amd64"),
        ({}, "registry.example/helper:arm64-v19.4.0", "arm64"),
        ({}, "registry.example/arm64/helper:1", "amd64"),
        ({}, "registry.example/helper", "amd64"),
        ({"kubernetes.io/arch": "arm64"}, "registry.example/helper:1", "arm64"),
        ({"kubernetes.io/arch": "amd64", "a": "b"}, "registry.example/helper:arm64-v19.4.0", "amd64"),
    ],
)
def test_the_architecture_is_the_selectors_or_the_helpers(selector: dict[str, str], helper: str, architecture: str) -> None:
    kubernetes = load_settings(None).kubernetes
    kubernetes = msgspec.structs.replace(kubernetes, node_selector=selector, helper_image=helper)
    assert architecture_of(kubernetes) == architecture


def test_an_architecture_without_a_program_is_refused() -> None:
    kubernetes = msgspec.structs.replace(load_settings(None).kubernetes, node_selector={"kubernetes.io/arch": "riscv64"})
    with pytest.raises(SettingsError, match="nodes of riscv64; the driver has programs for amd64 and arm64"):
        architecture_of(kubernetes)
