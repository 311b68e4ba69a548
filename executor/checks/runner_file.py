"""What the Runner's own file says of the driver's calls: programs, time limits, folders. Pure but for what it is given.

The Runner takes a missing time limit, or one that is not positive, for its own default, and stops a call that takes longer:
a limit that is shorter than the driver's own budgets turns slow clusters into failed jobs.
Source: gitlab-runner 19.4 common/config.go, executors/custom/config.go, docs/configuration/advanced-configuration.md.
"""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from executor.checks.finding import Finding, fault, note, ok
from executor.settings import Settings
from spelling.nearest import nearest

VERBS = ("config", "prepare", "run", "cleanup")
_DEFAULT_EXEC_SECONDS = 3600
_DEFAULT_GRACEFUL_SECONDS = 600
_DEFAULT_FORCE_SECONDS = 10
_DEFAULT_SHUTDOWN_SECONDS = 30
_CLEANUP_SECONDS = 50
"""The driver's `cleanup` gives up after this time on its own."""
_CONFIG_SECONDS = 10
_KEYS = {f"{verb}_{key}" for verb in VERBS for key in ("exec", "args", "exec_timeout")} - {"run_exec_timeout"}
_KEYS |= {"graceful_kill_timeout", "force_kill_timeout"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SHELLS = ("bash", "sh")
_PLACEHOLDERS = ("REPLACE-ME", "YOUR-TOKEN", "YOUR-GITLAB", "gitlab.example.com")

Table = dict[str, Any]


def check(document: Table, settings: Settings, *, settings_file: str, locate: Callable[[str], str]) -> Iterator[Finding]:
    """Yield what is found in a config.toml that was read. `locate` returns why a program cannot be started, "" if it can."""
    runners = document.get("runners", [])
    tables = [one for one in runners if isinstance(one, dict)] if isinstance(runners, list) else []
    if not isinstance(runners, list) or len(tables) != len(runners):
        yield fault("config.toml", "`runners` is not a list of tables", "write [[runners]], as in config.toml.example")
        return
    ours = [one for one in tables if one.get("executor") == "custom"]
    if not ours:
        there = ", ".join(sorted({str(one.get("executor")) for one in tables})) or "none"
        yield fault("config.toml", f'no runner has executor = "custom"; executors: {there}', "see config.toml.example")
        return
    yield from _whole(document, ours)
    for number, runner in enumerate(ours, 1):
        name = str(runner.get("name") or number)
        yield from _runner(runner, settings, f"runner {name}", settings_file=settings_file, locate=locate)


def budget_seconds(settings: Settings) -> int:
    """Return how long `prepare` may take by the driver's own settings."""
    budgets = settings.budgets
    # the API's silence may come on top of each of the others, but ends the attempt
    return (
        budgets.quota_seconds + budgets.schedule_seconds + budgets.pull_seconds
        + 2 * budgets.start_seconds + budgets.api_seconds
    )  # fmt: skip


def seconds_of(value: object) -> float | None:
    """Return a time limit in seconds: a number, or a duration such as `1h30m`; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str) or not value:
        return None
    parts = _DURATION.findall(value)
    if "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _whole(document: Table, ours: list[Table]) -> Iterator[Finding]:
    """Yield what the file says of all runners."""
    longest = max((_kill_seconds(custom) for runner in ours if (custom := _table(runner, "custom"))), default=0.0)
    shutdown = _limit(document, "shutdown_timeout", _DEFAULT_SHUTDOWN_SECONDS)
    if shutdown <= longest:
        yield fault(
            "config.toml",
            f"shutdown_timeout is {shutdown:.0f} s: a Runner that gets TERM ends before it has stopped its jobs, "
            "and their pods stay",
            f"shutdown_timeout = {longest + 20:.0f}, more than graceful_kill_timeout + force_kill_timeout",
        )
    concurrent = document.get("concurrent", 1)
    if isinstance(concurrent, int) and concurrent <= 1:
        yield note("config.toml", f"concurrent is {concurrent}: one job at a time", "raise it, such as concurrent = 200")


def _runner(
    runner: Table, settings: Settings, subject: str, *, settings_file: str, locate: Callable[[str], str]
) -> Iterator[Finding]:
    """Yield what is found of one runner; a last line if nothing is wrong."""
    custom = runner.get("custom")
    if not isinstance(custom, dict):
        yield fault(subject, "it has no table [runners.custom]", "copy it from config.toml.example")
        return
    found = [
        *_keys(runner, custom, subject),
        *(each for verb in VERBS for each in _call(custom, verb, subject, settings_file=settings_file, locate=locate)),
        *_limits(runner, custom, settings, subject),
        *_folders(runner, settings, subject),
    ]
    yield from found
    if not found:
        yield ok(subject, f"its calls, time limits and folders fit the driver ({custom['run_exec']})")


def _keys(runner: Table, custom: Table, subject: str) -> Iterator[Finding]:
    """Yield keys that the Runner ignores, and values that are still those of the example."""
    for key in sorted(set(custom) - _KEYS):
        near = nearest(key, sorted(_KEYS))
        advice = f"did you mean {near}?" if near else "delete it"
        yield fault(subject, f"custom.{key} is not a key of the Runner, which ignores it", advice)
    for key in ("url", "token"):
        value = runner.get(key)
        if not isinstance(value, str) or not value.strip():
            yield fault(subject, f"{key} is missing", f"set {key}: GitLab shows it when a runner is created")
        elif any(placeholder in value for placeholder in _PLACEHOLDERS):
            yield fault(subject, f"{key} is still the one of the example", f"set {key} to your own")
    shell = runner.get("shell", "bash")
    if shell not in _SHELLS:
        yield fault(subject, f"shell is {shell!r}: the driver runs scripts of bash", 'shell = "bash"')


def _call(custom: Table, verb: str, subject: str, *, settings_file: str, locate: Callable[[str], str]) -> Iterator[Finding]:
    """Yield what is wrong with the command of one verb."""
    program, arguments = custom.get(f"{verb}_exec"), custom.get(f"{verb}_args", [])
    example = f'{verb}_exec = "spack-farm", {verb}_args = ["executor", "{verb}", "--config", "{settings_file}"]'
    if not isinstance(program, str) or not program:
        yield fault(subject, f"custom.{verb}_exec is missing", example)
        return
    if not isinstance(arguments, list) or not all(isinstance(argument, str) for argument in arguments):
        yield fault(subject, f"custom.{verb}_args is not a list of texts", example)
        return
    if reason := locate(program):
        yield fault(subject, f"custom.{verb}_exec {program}: {reason}", "name the program by its whole path")
    named = [argument for argument in arguments if argument in VERBS]
    if not named:
        yield note(subject, f"custom.{verb}_args do not name the verb; is {program} a script that does?", example)
        return
    if named[0] != verb:
        yield fault(subject, f"custom.{verb}_args call the verb {named[0]}", example)
    given = _settings_of(arguments)
    if given is None:
        yield fault(subject, f"custom.{verb}_args have no --config: the driver would use its defaults", example)
    elif os.path.realpath(given) != os.path.realpath(settings_file):
        yield fault(subject, f"custom.{verb}_args name other settings, {given}, than those checked here", example)


def _settings_of(arguments: list[str]) -> str | None:
    """Return the settings file that a call of the driver names."""
    for position, argument in enumerate(arguments):
        if argument.startswith("--config="):
            return argument.partition("=")[2]
        if argument == "--config":
            return next(iter(arguments[position + 1 :]), None)
    return None


def _limits(runner: Table, custom: Table, settings: Settings, subject: str) -> Iterator[Finding]:
    """Yield the time limits that are no numbers, or too short for the driver."""
    keys = [key for key in (*custom, "prepare_timeout") if key.endswith("_timeout")]
    for key in keys:
        value = custom.get(key, runner.get(key))
        if value is not None and seconds_of(value) is None:
            yield fault(subject, f"{key} {value!r} is not a time", f"{key} = 60, in seconds")
    budget = budget_seconds(settings)
    advice = "more than the driver's [budgets] together"
    prepare = _limit(custom, "prepare_exec_timeout", _DEFAULT_EXEC_SECONDS)
    if prepare <= budget:
        text = (
            f"prepare_exec_timeout is {prepare:.0f} s: the Runner ends `prepare` while it still may wait, up to {budget} s"
        )
        yield fault(subject, text, f"prepare_exec_timeout = {budget + 300}, {advice}")
    whole = seconds_of(runner.get("prepare_timeout"))
    if whole and whole <= budget:
        text = f"prepare_timeout is {whole:.0f} s, and `prepare` may wait up to {budget} s"
        yield fault(subject, text, f'prepare_timeout = "{budget + 300}s", {advice}')
    cleanup = _limit(custom, "cleanup_exec_timeout", _DEFAULT_EXEC_SECONDS)
    if cleanup <= _CLEANUP_SECONDS:
        text = f"cleanup_exec_timeout is {cleanup:.0f} s: pods stay where the API server is slow"
        yield fault(subject, text, "cleanup_exec_timeout = 60")
    config = _limit(custom, "config_exec_timeout", _DEFAULT_EXEC_SECONDS)
    if config < _CONFIG_SECONDS:
        text = f"config_exec_timeout is {config:.0f} s: a busy manager needs longer to start a program"
        yield fault(subject, text, "config_exec_timeout = 60")
    graceful = _limit(custom, "graceful_kill_timeout", _DEFAULT_GRACEFUL_SECONDS)
    if graceful <= settings.cancel_seconds:
        text = (
            f"graceful_kill_timeout is {graceful:.0f} s: the driver is killed before a canceled script has had its "
            f"cancel_seconds, {settings.cancel_seconds} s"
        )
        yield fault(subject, text, f"graceful_kill_timeout = {settings.cancel_seconds + 40}")


def _folders(runner: Table, settings: Settings, subject: str) -> Iterator[Finding]:
    """Yield folders that differ from the driver's, and folders of their own that jobs may not choose."""
    for key in ("builds_dir", "cache_dir"):
        given, wanted = runner.get(key), getattr(settings, key)
        if given is not None and given != wanted:
            text = f"{key} is {given!r}, and {wanted!r} in the driver's settings, which count"
            yield fault(subject, text, f'{key} = "{wanted}"')
    if not _table(runner, "custom_build_dir").get("enabled"):
        text = "custom_build_dir is not enabled: jobs that set GIT_CLONE_PATH fail"
        yield fault(subject, text, "[runners.custom_build_dir] with enabled = true: each job has a builds_dir of its own")


def _kill_seconds(custom: Table) -> float:
    """Return how long the Runner may take to stop a call."""
    graceful = _limit(custom, "graceful_kill_timeout", _DEFAULT_GRACEFUL_SECONDS)
    return graceful + _limit(custom, "force_kill_timeout", _DEFAULT_FORCE_SECONDS)


def _limit(table: Table, key: str, default: float) -> float:
    """Return a time limit as the Runner takes it: its default for one that is missing, not positive, or not a time."""
    found = seconds_of(table.get(key))
    return found if found is not None and found > 0 else float(default)


def _table(table: Table, key: str) -> Table:
    found = table.get(key)
    return found if isinstance(found, dict) else {}
