"""The adapter to Spack: its command line, for programs and for people, and its exit codes. Written for Spack 1.1 and 1.2.

An older version is rejected in one line, a newer one tried with a warning. Knows nothing of what the agent does with the
answers.
"""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from buildjob.errors import FetchError, PublishError, RequestError, SpackError
from buildjob.masking import mask
from buildjob.spack.ci_answer import Rebuild, Tested
from buildjob.spack.concrete import (
    ConcreteSpec,
    Concretization,
    Lookup,
    Origin,
    Packed,
    Redistribution,
    Wanted,
)
from buildjob.spack.find import PINNED, SpackInstallation
from buildjob.spack.layout import version_of

OLDEST, NEWEST = (1, 1), (1, 2)
"""The minor versions that this adapter was tried with."""
UNUSABLE_EXIT_CODES = frozenset({3, 126, 127})
"""3: an exception that is not a SpackError. 126 and 127 are the shell's codes for a program that does not start."""
_CREDENTIALS = b"spack-farm credentials "
"""Begins the line in which `inside/rebuild.py` names variables."""
_INSIDE = Path(__file__).parent / "inside"


class _Rejection(msgspec.Struct):
    error: str
    is_fetch: bool = False


class _Refreshed(msgspec.Struct):
    faults: list[str]


class _Changed(msgspec.Struct):
    changed: bool


class _Origins(msgspec.Struct):
    origins: dict[str, Origin]


Call = Callable[[list[str], Mapping[str, str]], tuple[int, bytes]]
"""Runs a command line with an environment to its end; returns its exit code and all that it printed."""


class Converse(Protocol):
    """Runs a command line that asks one thing; see `Session.converse`."""

    def __call__(
        self, argv: list[str], environment: Mapping[str, str], *, question: bytes, answer: Callable[[bytes], bytes]
    ) -> tuple[int, bytes]:
        """Run it to its end; return its exit code and all that it printed."""


class Spack:
    """One Spack with its configuration scopes; every method that starts it takes the environment to give it."""

    def __init__(self, installation: SpackInstallation, *, call: Call, scopes: Sequence[Path] = ()) -> None:
        self.installation = installation
        self.scopes = tuple(scopes)
        self._call = call

    def in_environment(self, folder: str) -> "Spack":
        """Return this Spack with an environment's configuration, weaker than the scopes that it has already.

        The environment is not activated: Spack would then install only what that environment's roots name.
        """
        return Spack(self.installation, call=self._call, scopes=(Path(folder), *self.scopes))

    def with_scope(self, scope: Path) -> "Spack":
        """Return this Spack with one more configuration scope, the strongest."""
        return Spack(self.installation, call=self._call, scopes=(*self.scopes, scope))

    def environment(self, environment: Mapping[str, str], *, gpg_home: Path | None = None) -> dict[str, str]:
        """Return the environment for a Spack process: unbuffered, with byte code, with the interpreter that runs it."""
        changed = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
        changed["PYTHONUNBUFFERED"] = "1"  # otherwise the lines of Spack's parent and child process are out of order
        if self.installation.python:
            changed["SPACK_PYTHON"] = str(self.installation.python)
        if self.installation.tools:
            changed["PATH"] = f"{changed.get('PATH', os.defpath)}{os.pathsep}{self.installation.tools}"
        if gpg_home:
            changed["SPACK_GNUPGHOME"] = str(gpg_home)
        return changed

    def argv(self, *arguments: str | Path) -> list[str]:
        """Return a command line of this Spack."""
        scopes = [argument for scope in self.scopes for argument in ("-C", str(scope))]
        # -E: an environment that is activated in the user's shell would otherwise decide what is installed
        return [str(self.installation.program), "-E", *scopes, *map(str, arguments)]

    def version(self, environment: Mapping[str, str]) -> str:
        """Return the version as Spack prints it. Raises SpackError if Spack does not start."""
        return _last_line(self._run("--version", environment=environment))

    def version_warning(self) -> str:
        """Return what to warn of a Spack that is newer than this adapter, else an empty text; without starting Spack.

        Raises SpackError for one that is older.
        """
        version = version_of(self.installation)
        minor = tuple(map(int, re.findall(r"^(\d+)\.(\d+)", version)[0])) if re.match(r"\d+\.\d", version) else OLDEST
        if minor < OLDEST:
            raise SpackError(
                f"Spack {version} at {self.installation.root} is not supported, {_dotted(OLDEST)} and later are: "
                f"scripts/get-spack puts {PINNED} into the cache"
            )
        if minor > NEWEST:
            return (
                f"Spack {version} at {self.installation.root} is newer than {_dotted(NEWEST)}, the newest that was "
                "tried; if something fails that stock Spack does, use an older Spack"
            )
        return ""

    def concretize(self, wanted: Wanted, folder: Path, *, environment: Mapping[str, str]) -> Concretization:
        """Let Spack concretize, and look what is there already; each concrete spec is written below `folder`.

        Raises RequestError with Spack's own message if it has no answer to what is wanted, SpackError if Spack breaks.
        """
        question = {**msgspec.to_builtins(wanted), "folder": str(folder)}
        return msgspec.json.decode(self._ask(question, environment=environment), type=Concretization)

    def lookup(
        self,
        specs: Sequence[ConcreteSpec],
        *,
        silent: Sequence[str] = (),
        read: bool = False,
        environment: Mapping[str, str],
    ) -> Lookup:
        """Return which of the specs some remote mirror has, with a trusted signature where it is signed.

        The mirrors in `silent` are not asked. With `read` the binaries of what is not installed are read, up to the first
        that is damaged or can't be read. `environment` holds the mirrors' credentials; no package code runs. Raises as
        `concretize`.
        """
        question = {"lookup": [spec.spec_file for spec in specs], "silent": list(silent), "read": read}
        return msgspec.json.decode(self._ask(question, environment=environment), type=Lookup)

    def refresh(self, folder: str, hashes: Sequence[str], *, environment: Mapping[str, str]) -> list[str]:
        """Show what is installed in the views of the Spack environment in `folder`, if one is named, and mark packages.

        `hashes` names what is to be marked as explicitly installed. Returns why views could not be refreshed, a sentence for
        each. Raises as `concretize`.
        """
        answer = self._ask({"refresh": folder, "mark": list(hashes)}, environment=environment)
        return msgspec.json.decode(answer, type=_Refreshed).faults

    def origins(self, specs: Sequence[ConcreteSpec], *, environment: Mapping[str, str]) -> dict[str, Origin]:
        """Return by DAG hash where the binaries of those specs may be had from, to be signed.

        `environment` has the mirrors' credentials and names the trusted keys; no package code runs. Raises as `concretize`.
        """
        question = {"origins": [spec.spec_file for spec in specs]}
        answer = self._ask(question, environment=environment, script="provenance.py")
        return msgspec.json.decode(answer, type=_Origins).origins

    def redistribution(self, spec_files: Sequence[str], *, environment: Mapping[str, str]) -> Redistribution:
        """Return what the recipes of concrete specs in files say about redistributing their binaries. Package code runs."""
        answer = self._ask({"redistribution": spec_files}, environment=environment, script="provenance.py")
        return msgspec.json.decode(answer, type=Redistribution)

    def download(self, specs: Sequence[ConcreteSpec], folder: Path, *, environment: Mapping[str, str]) -> None:
        """Download signed binaries from the mirrors into a folder, as they are there; `environment` as for `origins`."""
        question = {"download": [spec.spec_file for spec in specs], "folder": str(folder)}
        self._ask(question, environment=environment, script="provenance.py")

    def _ask(
        self, question: Mapping[str, object], *, environment: Mapping[str, str], script: str = "concretize.py"
    ) -> bytes:
        """Give a script of `inside/` a question; return its answer. Raises RequestError if Spack has none."""
        with tempfile.TemporaryDirectory(prefix="spack-farm-plan-") as scratch:
            question_file, answer_file = Path(scratch) / "question.json", Path(scratch) / "answer.json"
            question_file.write_bytes(msgspec.json.encode(question))
            try:
                self._run("python", _INSIDE / script, question_file, answer_file, environment=environment)
            except SpackError as error:
                if rejection := self._rejected_at_start(environment):
                    raise _error_of(rejection) from error
                raise
            try:
                answer = answer_file.read_bytes()
            except FileNotFoundError as error:
                raise SpackError(f"{self.installation.program} gave no answer and no error") from error
        if answer.startswith(b'{"error"'):
            raise _error_of(msgspec.json.decode(answer, type=_Rejection))
        return answer

    def rebuild(
        self,
        question: Mapping[str, object],
        *,
        credentials: Callable[[list[str]], Mapping[str, str]],
        converse: Converse,
        environment: Mapping[str, str],
    ) -> Rebuild:
        """Ask for what a job of `spack ci generate` needs, and install its dependencies from the mirrors.

        `credentials` returns the values of the variables that mirrors take credentials from: Spack names them. Raises as
        `concretize`.
        """

        def call(argv: list[str], given: Mapping[str, str]) -> tuple[int, bytes]:
            def answer(names: bytes) -> bytes:
                return msgspec.json.encode(credentials(msgspec.json.decode(names, type=list[str])))

            return converse(argv, given, question=_CREDENTIALS, answer=answer)

        asked = Spack(self.installation, call=call, scopes=self.scopes)
        answer = asked._ask(question, environment=environment, script="rebuild.py")
        return msgspec.json.decode(answer, type=Rebuild)

    def broken_spec(self, question: Mapping[str, str], *, environment: Mapping[str, str]) -> bool:
        """Add a spec to the list of broken ones, or delete it from there; return whether that changed the list.

        `question` is that of `inside/broken_spec.py`. Raises as `concretize`.
        """
        answer = self._ask(question, environment=environment, script="broken_spec.py")
        return msgspec.json.decode(answer, type=_Changed).changed

    def tests_argv(self, spec: ConcreteSpec, stage: Path, *, fail_fast: bool, seconds: float | None) -> list[str]:
        """Return the command line that runs an installed package's stand-alone tests; it waits for a line of input."""
        limit = "none" if seconds is None else str(max(int(seconds), 1))
        return self.argv("python", _INSIDE / "standalone_tests.py", spec.hash, stage, str(fail_fast).lower(), limit)

    def tested(self, code: int, printed: bytes) -> Tested:
        """Return what the program that tests answered; a fault if it gave no answer."""
        lines = [line for line in printed.splitlines() if line.startswith(b'{"log"')]
        if lines:
            return msgspec.json.decode(lines[-1], type=Tested)
        return Tested(log="", fault=f"Spack ended with {code}: {_last_line(printed.decode('utf-8', 'replace'))}")

    def _rejected_at_start(self, environment: Mapping[str, str]) -> _Rejection | None:
        """Return what keeps Spack from starting if that is its configuration; None if it is Spack, or nothing any more."""
        changed = self.environment(environment)
        python = changed.get("SPACK_PYTHON") or "python3"
        options = self.argv()[1:]
        try:
            _, printed = self._call([python, str(_INSIDE / "start.py"), str(self.installation.root), *options], changed)
        except OSError:
            return None
        line = printed.rpartition(b'{"error"')
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(b"".join(line[1:]), type=_Rejection)
        return None

    def install_argv(
        self,
        spec: ConcreteSpec,
        *,
        jobs: int | None,
        fetch_report: Path,
        pipes: tuple[int, int] | None = None,
        has_verdict: bool = True,
    ) -> list[str]:
        """Return the command line that builds one package from source, its dependencies being installed.

        If Spack can't get the source, `fetch_report` will have the reasons: see `read_fetch_report`. `pipes` are descriptors
        that the program gets, one to read and one to write: it leaves a successor, which packs the package as the program of
        `pack_argv` does. Without `has_verdict` Spack does not say that errors in the log are the reason of a failure.
        """
        verdict = () if has_verdict else ("--no-verdict",)
        count = ("-j", str(jobs)) if jobs else ()
        again = ("--overwrite",) if spec.outdated else ()
        ends = ",".join(map(str, pipes)) if pipes else "none"
        return self._install_argv(
            [spec], str(fetch_report), ends, "--verbose", "--no-cache", "--only=package", *verdict, *again, *count
        )

    def fetch_argv(self, specs: Sequence[ConcreteSpec]) -> list[str]:
        """Return the command line that installs packages from the build caches, and nothing else."""
        return self._install_argv(specs, "none", "none", "--cache-only")

    def _install_argv(self, specs: Sequence[ConcreteSpec], *options: str) -> list[str]:
        explicit = ",".join(spec.hash for spec in specs if spec.is_explicit) or "none"
        return self.argv("python", _INSIDE / "install.py", explicit, *options, *(spec.spec_file for spec in specs))

    def pack_argv(self) -> list[str]:
        """Return the command line that writes an installed package's unsigned binary; it waits for `pack_input`."""
        return self.argv("python", _INSIDE / "pack.py")

    def pack_input(
        self,
        unsigned: Path,
        *,
        pack: Sequence[ConcreteSpec],
        copied: Sequence[ConcreteSpec] = (),
        left_out: Sequence[ConcreteSpec] = (),
        private: bool,
    ) -> bytes:
        """Return the line of input that names the packages to pack, those that are copied, and the folder for the binaries.

        What must not be redistributed is only packed if the folder is `private`; some is `left_out` already.
        """
        question = {
            "url": unsigned.as_uri(),
            "pack": [spec.hash for spec in pack],
            "copied": [spec.spec_file for spec in copied],
            "left_out": [spec.hash for spec in left_out],
            "private": private,
        }
        return msgspec.json.encode(question)

    def packed(self, code: int, printed: bytes) -> Packed:
        """Return what the program that packs answered. Raises PublishError with Spack's message if it failed."""
        lines = [line for line in printed.splitlines() if line.startswith(b"{")]
        if code != 0 or not lines:
            reason = printed.decode("utf-8", "replace").strip()[-500:]
            raise PublishError(f"Spack could not write the binary: {reason}")
        return msgspec.json.decode(lines[-1], type=Packed)

    def _run(self, *arguments: str | Path, environment: Mapping[str, str]) -> str:
        """Run Spack to its end and return what it printed. Raises SpackError with its last line."""
        try:
            code, printed = self._call(self.argv(*arguments), self.environment(environment))
        except OSError as error:
            raise SpackError(f"{self.installation.program} does not start: {error.strerror}") from error
        text = printed.decode("utf-8", "replace")
        if code != 0:
            raise SpackError(f"{self.installation.program} {arguments[0]} ended with {code}: {mask(_last_line(text), ())}")
        return text


def _error_of(rejection: _Rejection) -> RequestError | FetchError:
    text = mask(rejection.error, ())
    if rejection.is_fetch:
        return FetchError(f"Spack could not fetch what it needs; a retry may help. It says: {text}")
    return RequestError(f"Spack says: {text}")


def _dotted(minor: tuple[int, ...]) -> str:
    return ".".join(map(str, minor))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines or ["it printed nothing"])[-1]


def install_command(spec: ConcreteSpec) -> str:
    """Return the command that builds a package from source, as people write it."""
    return f"spack install {spec.name}@{spec.version}"
