"""What the driver and agent.sh say to each other is one table, in pod_agent.py: the shell's text obeys it."""

import re
from pathlib import Path

import pytest

from executor import pod_agent
from executor.pod_agent import agent_argv, driver_line, first_process, waiting_agent_argv

SHELL = Path(pod_agent.__file__).with_name("agent.sh").read_text()
HEADER, _, PROGRAM = SHELL.partition("\nroot=")
BODIES = dict(re.findall(r"^(\w+)\(\) \{\n(.*?)^\}", PROGRAM, re.MULTILINE | re.DOTALL))
BODIES["signal"] = PROGRAM[PROGRAM.index("\n  signal)") : PROGRAM.index(";;", PROGRAM.index("\n  signal)"))]


def test_the_agent_has_the_commands_of_the_table_and_one_of_its_own() -> None:
    cases = PROGRAM[PROGRAM.rindex("\ncase $1 in") :]
    assert set(re.findall(r"^  (\w+)\)", cases, re.MULTILINE)) == {*pod_agent.COMMANDS, "wrap"}


@pytest.mark.parametrize("command", pod_agent.COMMANDS)
def test_the_agent_reads_the_arguments_that_the_table_names(command: str) -> None:
    names = pod_agent.COMMANDS[command]
    read = {int(number) for number in re.findall(r"\$([1-9])", BODIES[command])}
    read |= {2} if "$stage" in BODIES[command] else set()  # the program itself makes $stage of $2
    assert read == {place for place, _ in enumerate(names, 2)}
    assigned = {name: int(place) for name, place in re.findall(r"\b(\w+)=\$(\d)", BODIES[command])}
    assert assigned == {name: place for place, name in enumerate(names, 2) if name in assigned}
    assert command != "run" or set(assigned) == {*names} - {"stage"}


def test_the_agent_writes_the_keywords_of_the_table_and_lists_them_at_its_top() -> None:
    written = re.findall(r'\bsay "?(?!\$)([a-z_.]+)', PROGRAM) + re.findall(r'^    words="(\w+) \$', PROGRAM, re.MULTILINE)
    counters = {keyword for keyword in written if keyword.startswith(pod_agent.COUNTERS)}
    assert {*written} - counters == {*pod_agent.AGENT_LINES}
    listed = re.findall(r"^#   ([a-z]+)\b", HEADER, re.MULTILINE)
    assert listed == ["sh"] * len(pod_agent.COMMANDS) + [*pod_agent.AGENT_LINES, *pod_agent.DRIVER_LINES]
    for keyword, fields in pod_agent.AGENT_LINES.items():
        line = next(line for line in HEADER.splitlines() if re.match(rf"#   {keyword}\b", line))
        assert len(re.findall(r"\b[A-Z]+\b|before\|after", line[:26])) == len(fields), line


def test_the_counters_have_the_names_that_the_driver_knows_them_by() -> None:
    echoed = re.findall(r'echo "([\w.$]+) \$value"', BODIES["counters"])
    assert len(echoed) > 8
    for name in echoed:
        assert name == "$file" or name.startswith(pod_agent.COUNTERS), name
    files = re.search(r"for file in (.*); do", BODIES["counters"])
    assert files is not None
    assert all(file.startswith(pod_agent.COUNTERS) for file in files[1].split())


def test_the_agent_reads_the_lines_of_the_table() -> None:
    fields = re.search(r"while read -r word (.*); do", BODIES["listen"])
    assert fields is not None
    longest = max(pod_agent.DRIVER_LINES.values(), key=len)
    assert len(fields[1].split()) == len(longest)
    assert set(re.findall(r"^      (\w+)\)", BODIES["listen"], re.MULTILINE)) == {*pod_agent.DRIVER_LINES}


def test_the_facts_have_the_keys_of_the_table() -> None:
    text = BODIES["facts"] + BODIES["wait_facts"]
    assert set(re.findall(r'echo "(\w+)', text)) == {*pod_agent.FACTS}


def test_arguments_stand_in_the_protocols_order_and_the_last_may_be_missing() -> None:
    argv = agent_argv("build", "run", size=4, received=3, base=2, segment=1, stage="s-0")
    assert argv == ["sh", "/.spack-farm/build/agent", "run", "s-0", "1", "2", "3", "4"]
    assert agent_argv("build", "run", stage="s", segment=0, base=0, received=0, size=1, last="last")[-1] == "last"
    assert waiting_agent_argv("helper", "wait_facts", seconds=9)[-2:] == ["wait_facts", "9"]
    with pytest.raises(KeyError):
        agent_argv("build", "run", segment=1)


def test_a_line_for_the_agent_has_its_fields_in_order() -> None:
    assert driver_line("acked", total=6, segment=2) == b"acked 2 6\n"
    assert driver_line("alive", number="17.4") == b"alive 17.4\n"


def test_the_programs_in_a_pod_fit_in_a_command_line_and_hold_no_comments() -> None:
    """Linux takes at most 128 KiB in one argument; etcd at most 1.5 MiB in an object."""
    argv = first_process("build", orphan_after_seconds=900)
    assert max(map(len, argv)) < 64 << 10
    assert not [line for word in argv for line in word.splitlines() if line.lstrip().startswith("#")]
