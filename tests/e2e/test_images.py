"""What images bring, on a real cluster: environment, entrypoint, what they lack. One table; a few jobs run at a time."""

import concurrent.futures
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterable

from tests.fakes.runner import Outcome, Runner, payload
from tests.labs.cluster.images import HOSTILE

HONOR = {"FF_KUBERNETES_HONOR_ENTRYPOINT": "true"}
ENVIRONMENT = 'printf "begin="; tr "\\0" "\\n" </proc/$$/environ; echo end'
KILLS_ALL = ["seq 1 20000; kill -9 -1"]
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True)
class Case:
    """One job and what must become of it."""

    image: str
    script: list[str]
    result: tuple[str, int] = ("", 0)
    """Reason and exit code; ("", 0) is success."""
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    entrypoint: list[str] | None = None
    within_seconds: float = 60


def failed(code: int = 1) -> tuple[str, int]:
    return ("script_failure", code)


ENTERED = ['echo "<$FROM_ENTRYPOINT> $(ulimit -n) $(umask) $OLDPWD"']
EXPECTED = {
    # the image's environment: nothing of it reaches the agent, all of it reaches the job
    "hostile": Case("hostile", [ENVIRONMENT, "seq 1 3000"], has=("\na line of the image\n", *map(str, range(2990, 3001)))),
    "nobody": Case("nobody", ["id -u; touch ~/x; ls ~"], has=("\n4321\n", "\nx\n")),
    "no such user": Case("no-such-user", ["true"], failed(), has=("cannot be started from its image",), within_seconds=30),
    "folder is a file": Case("folder-is-file", ["true"], failed(), has=("/etc/passwd: not a directory",), within_seconds=30),
    "no PATH, no home": Case("no-path", ["cd; echo x >file; echo ran in $HOME"], has=("ran in /.spack-farm/build/home",)),
    "a function": Case("function", ["odd"], has=("\nits function\n",)),
    "bare": Case("bare", ["echo bare; (exit 4)"], failed(4), has=("\nbare\n",)),
    "no shell": Case("noshell", ["true"], failed(), has=("no shell that runs",), within_seconds=30),
    # signals
    "signals": Case("busybox", ["grep -E 'Sig(Ign|Blk)' /proc/$$/status | tr -d '\t'"], has=(f"SigBlk:{0:016x}",)),
    "dash": Case(
        "dash",
        ['sh -c "kill -INT \\$\\$" || echo code $?', 'sh -c "kill -QUIT \\$\\$" || echo code $?'],
        has=("\ncode 130\n", "code 131\n"),
        variables={"FF_POSIXLY_CORRECT_ESCAPES": "true"},
    ),
    "kill -9 -1": Case("busybox", KILLS_ALL, failed(137), has=("\n20000\n", "killed its own container's processes")),
    "kill -9 -1 below an entrypoint": Case(
        "entry-child", KILLS_ALL, failed(137), has=("killed its own container's processes",), variables=HONOR
    ),
    # entrypoints: not run unless the job asks for it
    "ignored": Case("entry-fails", ['echo "<$FROM_ENTRYPOINT>"'], has=("\n<>\n",), lacks=("no database",)),
    "ignored, the job's own": Case("busybox", ["echo ran"], has=("\nran\n",), entrypoint=["/bin/sh", "-c"]),
    "exports": Case(
        "entry-exports", ENTERED, has=("\n<it's set> 321 0027 /opt\n", "  the entrypoint speaks"), variables=HONOR
    ),
    "the job's own": Case(
        "busybox", ENTERED, has=("\n<job> ",), variables=HONOR, entrypoint=["sh", "-c", 'FROM_ENTRYPOINT=job exec "$@"', "x"]
    ),
    "none": Case("entry-fails", ["echo ran"], has=("\nran\n",), variables=HONOR, entrypoint=[""]),
    "a shell": Case("entry-sh", ["echo ran"], has=("\nran\n",), variables=HONOR),
    "sh -c": Case("entry-sh-c", ["echo ran"], has=("\nran\n",), variables=HONOR),
    "words": Case("entry-words", ENTERED, has=("\n<words> ",), variables=HONOR),
    "slow": Case("entry-slow", ["echo ran"], has=("\nran\n",), variables=HONOR),
    "a child": Case("entry-child", ["echo ran; exit 7"], failed(7), has=("\nran\n",), variables=HONOR),
    "quiet": Case("entry-quiet", ["echo ran"], has=("\nran\n",), variables=HONOR),
    "fails": Case(
        "entry-fails",
        ["true"],
        failed(),
        has=("ended (exit code 3)", "  no database here"),
        variables=HONOR,
        within_seconds=30,
    ),
    "missing": Case("entry-missing", ["true"], failed(), has=("/nowhere/entry",), variables=HONOR, within_seconds=30),
    "forgets": Case("entry-forgets", ["true"], failed(), has=('end it with `exec "$@"`',), variables=HONOR),
}


def wrong(case: Case, outcome: Outcome) -> Iterable[str]:
    """Yield what is not as it must be."""
    if (outcome.reason, outcome.exit_code) != case.result:
        yield f"{outcome.reason} {outcome.exit_code} instead of {case.result}"
    yield from (f"lacks {text!r}" for text in case.has if text not in outcome.text)
    yield from (f"has {text!r}" for text in case.lacks if text in outcome.text)
    if len([call for call in outcome.calls if call.stage == "prepare"]) != 1:
        yield "prepare was repeated"
    took = sum(call.seconds for call in outcome.calls)
    if took > case.within_seconds:
        yield f"took {took:.0f} s"


def test_what_images_bring(runner: Callable[..., Runner]) -> None:
    made = {name: runner(top="[budgets]\nstart_seconds = 8") for name in EXPECTED}

    def run(name: str) -> tuple[str, Outcome]:
        case, number = EXPECTED[name], os.getpid() * 1000 + next(_numbers)
        info = {"name": f"job {number}", "stage": "build", "pipeline_id": time.time_ns() // 1000, "project_id": 4}
        info["project_full_path"] = f"grp/proj{number}"
        image = {"name": f"localhost/{case.image}:1", "entrypoint": case.entrypoint}
        return name, made[name].run(payload(case.script, id=number, job_info=info, image=image, variables=case.variables))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        outcomes = dict(pool.map(run, EXPECTED))
    faults = {name: [*wrong(EXPECTED[name], outcome)] for name, outcome in outcomes.items()}
    told = [f"{name}: {found}\n{outcomes[name].text}" for name, found in faults.items() if found]
    assert not told, "\n".join(told)
    text = outcomes["hostile"].call("build_script").stdout.decode()
    lines = text.partition("\nbegin=")[2].partition("\nend\n")[0].splitlines()
    found = dict(line.split("=", 1) for line in lines)
    assert {name: found.get(name) for name in HOSTILE} == HOSTILE
    ours = {name for name in found.keys() - HOSTILE.keys() if not name.startswith("KUBERNETES_")}
    assert ours <= {"PATH", "HOME", "HOSTNAME", "SPACK_FARM_IMAGE_DIGEST", "SPACK_FARM_JOB_ATTEMPT"}
