"""Anything a log or a build may hold, from a seed: for the fuzz proof and its small share in the fast tests."""

import io
import os
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

from ctest_xml import write
from ctest_xml.check import check
from ctest_xml.model import (
    Build,
    Command,
    Configure,
    Done,
    Failure,
    LogEvent,
    Measurement,
    MeasurementType,
    Note,
    Site,
    Test,
    Testing,
    Update,
    Upload,
)
from ctest_xml.rules import CTEST, SPACK
from ctest_xml.scan import scan
from tests.labs.cdash_schemas import fault

_HOSTILE = (
    *(
        "",
        " ",
        "\n",
        "\t",
        "\r",
        "\r\n",
        "<",
        ">",
        "&",
        '"',
        "'",
        "]]>",
        "<![CDATA[",
        "&amp;",
        "&#0;",
        "<!--",
        "-->",
        "<?x?>",
    ),
    *(
        "<Update",
        "<Build ",
        "<Configure",
        "<Done",
        "<testsuite",
        "\x00",
        "\x1b[31m",
        "\x1b[K",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
    ),
    *(
        "\ufffe",
        "\uffff",
        "\udcff",
        "\ud800",
        "\U0001f600",
        "é",
        "a.c:3: error: x",
        "Makefile",
        "../..",
        "C:\\x",
        "x" * 300,
        "é" * 200,
    ),
    *("make: *** [x] Error 1", "NaN", "-1", "2026", "a b", "%s{}$(x)", "[NON-XML-CHAR-0x1B]", "=" * 70),
)
_NUMBERS = (0, -1, 1, 0.5, 1e300, -1e300, float("nan"), float("inf"), float("-inf"), 2**31, 2**32, 2**63, 1.7e9, 1e-9)


class Dice:
    """Random parts of a model, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        dice = self.random
        if dice.random() < 0.2:
            return "".join(
                chr(dice.choice((dice.randrange(0x80), dice.randrange(0x110000)))) for _ in range(dice.randrange(40))
            )
        return "".join(dice.choice(_HOSTILE) for _ in range(dice.randrange(5)))

    def number(self) -> float:
        return self.random.choice(_NUMBERS)

    def whole(self) -> int:
        return self.random.choice((0, -1, 1, 2**31, 2**40, self.random.randrange(10**6)))

    def some(self, make: Callable[[], Any], most: int = 3) -> list[Any]:
        return [make() for _ in range(self.random.randrange(most + 1))]

    def texts(self) -> tuple[str, ...]:
        return tuple(self.some(self.text))

    def content(self) -> str | bytes:
        luck = self.random.random()
        if luck < 0.3:
            return self.random.randbytes(self.random.randrange(2000))
        return self.text() * (1000 if luck > 0.97 else 1)

    def site(self) -> Site:
        text = self.text
        return Site(
            name=text() + "n",
            build_name=text() + "b",
            build_stamp="20261122-0742-" + text() + "g",
            subproject=text(),
            generator=text(),
            append=self.random.random() < 0.2,
            change_id=text(),
            compiler_name=text(),
            os_name=text() * 20,
            os_version=text() * 20,
            is_64_bits=self.random.choice((None, True, False)),
            cpu_clock_hertz=self.number(),
            cpu_family=self.whole(),
            memory_bytes=self.whole(),
            logical_cpus=self.whole(),
        )

    def event(self) -> LogEvent:
        line = self.random.choice((None, self.whole()))
        return LogEvent(
            kind=self.random.choice(("error", "warning")),
            log_line=self.whole(),
            text=self.text(),
            file=self.text(),
            file_line=line,
            pre_context=self.text(),
            post_context=self.text(),
        )

    def measurement(self) -> Measurement:
        luck = self.random.random()
        if luck < 0.5:
            return Measurement(name=self.text(), value=self.number())
        if luck < 0.7:
            return Measurement(name=self.text(), value=self.content(), type="file", file_name=self.text())
        kinds: list[MeasurementType] = ["text/string", "text/link", "image/png"]
        return Measurement(name=self.text(), value=self.content(), type=self.random.choice(kinds))

    def command(self) -> Command:
        return Command(
            kind=self.random.choice(("Custom", "Install", "CmakeBuild", "CmakeInstall")),
            command=self.text(),
            working_directory=self.text(),
            start_seconds=self.number(),
            duration_seconds=self.number(),
            result=self.text(),
            measurements=tuple(self.some(self.measurement)),
        )

    def failure(self) -> Failure:
        text = self.text
        return Failure(
            kind=self.random.choice(("error", "warning")),
            arguments=self.texts(),
            exit_condition=text(),
            working_directory=text(),
            target_name=text(),
            language=text(),
            source_file=text(),
            output_file=text(),
            stdout=self.content(),
            stderr=self.content(),
            labels=self.texts(),
        )

    def build(self) -> Build:
        return Build(
            start_seconds=self.number(),
            end_seconds=self.number(),
            command=self.text(),
            source_directory=self.text(),
            binary_directory=self.text(),
            labels=self.texts(),
            events=self.some(self.event, 6),
            failures=self.some(self.failure, 2),
            commands=self.some(self.command),
        )

    def test(self) -> Test:
        return Test(
            name=self.text(),
            status=self.random.choice(("passed", "failed", "notrun")),
            path=self.text(),
            command_line=self.text(),
            start_seconds=self.random.choice((None, self.number())),
            execution_seconds=self.random.choice((None, self.number())),
            completion=self.text(),
            exit_code=self.text(),
            measurements=tuple(self.some(self.measurement)),
            output=self.content(),
            labels=self.texts(),
        )

    def log(self) -> bytes:
        dice = self.random
        lines = [self.text().encode("utf-8", "surrogatepass") for _ in range(dice.randrange(30))]
        if dice.random() < 0.5:
            lines.append(dice.randbytes(dice.randrange(200)))
        dice.shuffle(lines)
        return dice.choice((b"\n", b"\n", b"", b"\r\n", b"\0")).join(lines)


def document(seed: int) -> bytes:
    """Return one document of a random kind, made from a random model."""
    dice = Dice(seed)
    out = io.BytesIO()
    site = dice.site()
    kind = dice.random.randrange(7)
    times = {"start_seconds": dice.number(), "end_seconds": dice.number()}
    if kind == 0:
        write.build(out, site=site, build=dice.build(), limit=dice.random.choice((0, 1, 3, 50)))
    elif kind == 1:
        write.configure(
            out, site=site, configure=Configure(**times, command=dice.text(), log=dice.content(), errors=dice.whole())
        )
    elif kind == 2:
        write.testing(out, site=site, testing=Testing(**times, tests=dice.some(dice.test)))
    elif kind == 3:
        write.notes(out, site=site, notes=[Note(name=dice.text(), text=dice.content() or "x", time_seconds=dice.number())])
    elif kind == 4:
        upload = Upload(name=dice.text(), content=dice.content(), compress=dice.random.random() < 0.5)
        write.upload(out, site=site, uploads=[upload], time_seconds=dice.number())
    elif kind == 5:
        update = Update(**times, revision=dice.text(), prior_revision=dice.text(), kind=dice.text(), status=dice.text())
        write.update(out, site=site, update=update)
    else:
        write.done(out, done=Done(build_id=dice.text(), time_seconds=dice.number()))
    return out.getvalue()


def log_document(seed: int) -> bytes:
    """Return the Build.xml of a random log; check that any chunks give equal events."""
    dice = Dice(seed)
    log, rules = dice.log(), dice.random.choice((CTEST, SPACK))
    events = list(scan([log], rules=rules))
    at = sorted(dice.random.randrange(len(log) + 1) for _ in range(3))
    chunks = [log[start:end] for start, end in zip([0, *at], [*at, len(log)], strict=True)]
    assert list(scan(chunks, rules=rules)) == events, f"seed {seed}: the chunks change the events"
    out = io.BytesIO()
    write.build(out, site=dice.site(), build=Build(start_seconds=1, end_seconds=2, command="make", events=events), limit=0)
    return out.getvalue()


def prove_one(seed: int) -> None:
    """Check one document: no exception, no fault by our own check, none by CDash's schemas."""
    body = log_document(seed) if seed % 2 else document(seed)
    faults = check(body)
    assert not faults, f"seed {seed}: {faults[0]}"
    assert not fault(body), f"seed {seed}: {fault(body)}"


def memory_of(work: Callable[[], object]) -> int:
    """Return the peak of Python memory of some work, in bytes; it runs in a child, which has no other threads."""
    reader, writer = os.pipe()
    child = os.fork()  # here other threads' memory would be counted
    if child == 0:
        try:
            tracemalloc.start()
            work()
            os.write(writer, str(tracemalloc.get_traced_memory()[1]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        peak = int(answer.read())
    os.waitpid(child, 0)
    return peak
