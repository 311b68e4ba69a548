"""Lines of real tools, and what they count as. Each line is what the tool printed (Debian 12, or by its documentation)."""

from pathlib import Path

import pytest

from ctest_xml.model import LogEvent
from ctest_xml.scan import scan

ERRORS = {
    "perl": [
        "Can't locate Foo/Bar.pm in @INC (@INC contains: /etc/perl) at x.pl line 2.",
        "BEGIN failed--compilation aborted at x.pl line 2.",
        'syntax error at x.pl line 1, near "= ;"',
        "Execution of x.pl aborted due to compilation errors.",
        "Perl v7.0.0 required--this is only v5.36.0, stopped at - line 1.",
        'Global symbol "$y" requires explicit package name (did you forget to declare "my $y"?) at -e line 1.',
        "no way at configure.pl line 1.",
    ],
    "dash": [
        "./configure: 1: AC_INIT: not found",
        './configure: 1: Syntax error: word unexpected (expecting ")")',
        "sh: 1: ./np: Permission denied",
        "sh: 1: foo: not found",
        "sh: 1: ./el: Exec format error",
        "sh: 1: NOPE: parameter not set",
        "sh: 0: cannot open nofile: No such file",
        "dash: 1: cannot create /ro/z: Read-only file system",
    ],
    "bash": [
        "./configure: line 1: syntax error near unexpected token `x,y'",
        "./configure: line 7: PKG_CHECK_MODULES: command not found",
        "bash: line 1: ./bi: cannot execute: required file not found",
        "bash: line 1: NOPE: unbound variable",
        "bash: line 1:  1333 Segmentation fault      ./a.out",
    ],
    "pkg-config": [
        "Package nosuch-pc was not found in the pkg-config search path.",
        "Package 'nosuch-pc', required by 'virtual:world', not found",
    ],
    "ruby without a file of Ruby's": [
        "<internal:/usr/lib/ruby/kernel_require.rb>:85:in `require': cannot load such file -- nosuch (LoadError)",
        "Rakefile:3:in `block in <top (required)>': no such task (RuntimeError)",
        "-e:1:in `<main>': undefined method `foo' for nil:NilClass (NoMethodError)",
    ],
    "libtool, autotools": [
        "libtool:   error: 'b.lo' is not a valid libtool object",
        "configure.ac:5: error: possibly undefined macro: AC_FOO",
        "Makefile.am: error: required file './NEWS' not found",
        "/usr/bin/m4:configure.ac:2: ERROR: end of file in string",
        "autoreconf: error: automake failed with exit status: 1",
        "checking for zlib... configure: error: zlib is missing",
    ],
    "downloads": [
        "curl: (6) Could not resolve host: nohost.invalid",
        "  0     0    0     0    0     0      0      0 --:--:--     0curl: (6) Could not resolve host: x.invalid",
        "wget: unable to resolve host address 'nohost.invalid'",
        "Connecting to 127.0.0.1:9... failed: Connection refused.",
        "2026-11-30 03:41:39 ERROR 404: Not Found.",
        "fatal: unable to access 'https://nohost.invalid/x.git/': Could not resolve host: nohost.invalid",
        "fatal: not a git repository (or any of the parent directories): .git",
        "error: pathspec 'nope' did not match any file(s) known to git",
    ],
    "archives, files": [
        "gzip: stdin: not in gzip format",
        "xz: n.gz: File format not recognized",
        "bzip2: n.gz is not a bzip2 file.",
        "tar: This does not look like a tar archive",
        "tar: /dev/full: Cannot write: No space left on device",
        "zstd: n.gz: unknown header ",
        "cp: cannot stat 'nope': No such file or directory",
        "sed: -e expression #1, char 3: unterminated `s' command",
        "awk: line 2: missing } near end of file",
        "touch: cannot touch 'x': Disk quota exceeded",
        "install: cannot create regular file '/ro/f.c': Read-only file system",
        "OSError: [Errno 28] No space left on device",
    ],
    "patch": [
        "patch: **** Only garbage was found in the patch input.",
        "Hunk #1 FAILED at 1.",
        "1 out of 1 hunk FAILED -- saving rejects to file f.rej",
        "can't find file to patch at input line 3",
    ],
    "packages": [
        "E: Unable to locate package nopkgxyz",
        "dpkg: error: cannot access archive 'nope.deb': No such file or directory",
    ],
    "make, ninja, scons": [
        "Makefile:1: *** you lose.  Stop.",
        "make: *** No rule to make target 'nope', needed by 'all'.  Stop.",
        "make: *** [M9:2: all] Segmentation fault",
        "*** Error code 1",
        "ninja: error: 'y', needed by 'x', missing and no known rule to make it",
        "scons: *** [nope.o] Source `nope.c' not found, needed by target `nope.o'.",
    ],
    "fortran": [
        "f951: Fatal Error: Cannot open file 'nope.f90'",
        "Error: Symbol 'y' at (1) has no IMPLICIT type",
        "Fatal Error: Cannot open module file 'nope.mod' for reading at (1): No such file or directory",
        "Fortran runtime error: Cannot open file 'nope': No such file or directory",
        "NVFORTRAN-S-0034-Syntax error at or near identifier foo (x.f90: 3)",
        "x.f90(3): error #6404: This name does not have a type",
        "ftn-113 ftn: ERROR MAIN, File = x.f90, Line = 3, Column = 3",
        '"x.f", line 3.5: 1515-010 (S) String is missing a closing delimiter.',
    ],
    "c": [
        "a.c:1:19: error: 'x' undeclared (first use in this function)",
        "b.c:1:10: fatal error: nope.h: No such file or directory",
        "cc1: fatal error: nope.c: No such file or directory",
        "h.s:1: Error: no such instruction: `foo bar'",
        "a.out: v.c:2: main: Assertion `1==2' failed.",
        "terminate called after throwing an instance of 'std::runtime_error'",
        "==1==ERROR: AddressSanitizer: SEGV on unknown address 0x0",
        "x.c:3:5: runtime error: signed integer overflow",
        "./a.out: error while loading shared libraries: libx.so.1: cannot open shared object file",
        "x.cpp(3): error C2065: 'x': undeclared identifier",
        "LINK : fatal error LNK1104: cannot open file 'x.lib'",
        "[spack cc] ERROR: Spack compiler must be run from Spack! Input 'SPACK_ENV_PATH' is missing.",
    ],
    "linkers": [
        "/src/d.c:1: undefined reference to `foo'",
        "x.c:(.text+0xa): undefined reference to `foo'",
        "/usr/bin/ld: a.o:(.data+0x0): multiple definition of `x'; b.o:(.bss+0x0): first defined here",
        "/usr/bin/ld: cannot find -lnope: No such file or directory",
        "/usr/bin/ld:j.o: file format not recognized; treating as linker script",
        "/usr/bin/ld: cannot open output file /nope/x: No such file or directory",
        "ld.lld: error: unable to find library -lnope",
        "mold: fatal: library not found: nope",
        "/usr/bin/ld.gold: error: cannot find -lnope",
        "ar: nope.a: No such file or directory",
        "nm: a.c: file format not recognized",
        "strip: 'nope': No such file",
        "readelf: Error: a.c: Failed to read file header",
    ],
    "cuda": [
        'x.cu(3): error: identifier "foo" is undefined',
        "nvcc fatal   : Unsupported gpu architecture 'compute_20'",
        "ptxas fatal   : Unresolved extern function 'foo'",
        "nvlink error   : Undefined reference to 'foo' in 'x.o'",
    ],
    "java": [
        "X.java:1: error: incompatible types: String cannot be converted to int",
        'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space',
        "Error: Could not find or load main class Nope",
        "java.nio.file.NoSuchFileException: nope.jar",
        "[ERROR] /src/X.java:[1,10] reached end of file while parsing",
        "Execution failed for task ':compileJava'.",
    ],
    "javascript": [
        "SyntaxError: Unexpected end of input",
        "Error: Cannot find module 'nope'",
        "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'nope' imported from /w/f.mjs",
        'npm error Missing script: "nope"',
        "npm ERR! code ENOENT",
        "src/a.ts(3,5): error TS2304: Cannot find name 'x'.",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
    ],
    "rust, go": [
        "error[E0308]: mismatched types",
        "thread 'main' (32470) panicked at src/main.rs:1:23:",
        "test bad ... FAILED",
        "./main.go:3:22: undefined: foo",
        "main.go:2:8: cannot find module providing package example.org/nope: module lookup disabled by GOPROXY=off",
        "go: go.mod file not found in current directory or any parent directory; see 'go help modules'",
        "panic: assignment to entry in nil map",
        "--- FAIL: TestBad (0.00s)",
    ],
    "cmake, meson": [
        "CMake Error at CMakeLists.txt:2 (find_package):",
        "CMake Error: CMAKE_C_COMPILER not set, after EnableLanguage",
        "-- Configuring incomplete, errors occurred!",
        'meson.build:2:0: ERROR: Dependency "nope" not found, tried pkgconfig and cmake',
    ],
    "python": [
        "ModuleNotFoundError: No module named 'nope'",
        "      ModuleNotFoundError: No module named 'nope'",
        "subprocess.CalledProcessError: Command '['false']' returned non-zero exit status 1.",
        "E   ModuleNotFoundError: No module named 'nope'",
        "ERROR: Could not find a version that satisfies the requirement nopexyz (from versions: none)",
        "error: command '/usr/bin/gcc' failed with exit code 1",
        "      error: invalid command 'bdist_wheel'",
        "/usr/bin/python3: can't open file '/w/nope.py': [Errno 2] No such file or directory",
        "/usr/bin/python3: No module named nope",
    ],
    "languages that write no word of severity": [
        "a.pyx:3:14: Expected an identifier or literal",
        "c.l:1: unrecognized '%' directive",
        "a.proto:2:17: Expected field name.",
        "nope.proto: File not found.",
        "./b.tex:3: Undefined control sequence.",
        "! LaTeX Error: File `nope.sty' not found.",
        'a.po:1: keyword "foo" unknown',
        "lua5.3: b.lua:1: attempt to call a nil value (global 'foo')",
        "b.rb:1:in `<main>': undefined local variable or method `foo' for main:Object (NameError)",
        'a.adb:3:03: "X" is undefined',
    ],
    "generators and other languages": [
        "a.y:3.8: error: symbol 'B' is used, but is not defined as a token and has no rules",
        "flex: can't open nope.l",
        "b.i:3: Error: Unable to find 'nope.h'",
        "error: configuration file nope not found!",
        '/s/index.rst:4: ERROR: Unknown directive type "foo".',
        "Extension error:",
        "A.hs:2:8: error: Variable not in scope: foo",
        "Error: Unbound value y",
        "Fatal error: exception F.E",
        'a.adb:3:03: error: "X" is undefined',
        "raised CONSTRAINT_ERROR : c.adb:4 explicit raise",
        "a.d(3): Error: undefined identifier `foo`",
        "a.vala:2.1-2.0: error: syntax error, expected identifier",
        'invalid command name "foo"',
    ],
    "r": [
        "Error in library(nope) : there is no package called 'nope'",
        'Error: unexpected symbol in "x y"',
        "ERROR: dependency 'nopexyz' is not available for package 'p'",
        "Execution halted",
    ],
    "tests": [
        "FAIL: tests/error.test",
        "1/2 Test #1: error_t ..........................***Failed    0.00 sec",
        "1/2 error_test FAIL            0.02s   exit status 1",
        "not ok 3 - reads an empty file",
        "test_bad (__main__.T.test_bad) ... FAIL",
        "test_x.py::test_bad FAILED                                               [ 20%]",
    ],
}

WARNINGS = [
    "warning: hint.pyx:13:9: Unreachable code",
    "configure.ac:4: warning: The macro `AC_PROG_LIBTOOL' is obsolete.",
    "b.l:3: warning, rule cannot be matched",
    "libtool: warning: '-version-info' is ignored for programs",
    "Use of uninitialized value $x in addition (+) at -e line 1.",
    "meson.build:2: WARNING: careful",
    "CMake Warning (dev) at CMakeLists.txt:4 (message):",
    "LaTeX Warning: Reference `x' on page 1 undefined on input line 3.",
    "Warning 8 [partial-match]: this pattern-matching is not exhaustive.",
    "(node:24024) [DEP0005] DeprecationWarning: Buffer() is deprecated",
    "Warning message:",
    "W: Download is performed unsandboxed as root",
    "M12:4: warning: overriding recipe for target 'all'",
    'x.cu(3): warning #177-D: variable "x" was declared but never referenced',
    'a.c:1:2: warning: "error: x" is not a string',
    "[WARN] old plugin",
]

NOTHING = {
    "names and titles that tools list": [
        "d/FAILED",
        "./tests/out/FAILED",
        "  adding: d/FAILED (stored 0%)",
        " extracting: z/d/FAILED              ",
        "  inflating: z/fatal error: x.txt",
        "HEAD is now at 9fee496 fix error: fatal crash (FAILED)",
        "Previous HEAD position was 9fee496 fix error: fatal crash (FAILED)",
        "[master (root-commit) 9fee496] fix error: fatal crash (FAILED)",
        "BenchmarkError",
        '2: Test command: /usr/bin/sh "-c" "echo FAILED: expected"',
        "9fee496 fix error: fatal crash (FAILED)",
        "* 9fee496a (HEAD -> main, tag: v1) error: FAILED",
        "  main 9fee496 [ahead 1] error: FAILED",
        "Applying: error: handle FAILED state",
        "Saved working directory and index state WIP on main: 9fee496 fix error: x",
        "pick 9fee496 error: handle FAILED state",
        " create mode 100644 tests/FAILED",
        "drwxr-xr-x root/root         0 2026-11-30 08:18 d/FAILED/",
        "-rw-r--r-- 1 root root 4096 Nov 30 08:18 FAILED",
        "d/FAILED:",
        "'d/FAILED' -> 'f/FAILED'",
        "renamed 'd/FAILED' -> 'f/FAILED'",
        "removed directory 'd/FAILED'",
        "0001-error-handle-FAILED-state.patch",
        "        0  2026-11-30 09:16   s/FAILED/",
        "  File: s/FAILED",
        "d41d8cd98f00b204e9800998ecf8427e  s/FAILED",
        "4.0K\ts/FAILED",
        "copying src/FAILED -> build/lib/FAILED",
        "[1/2] sh -c 'echo \"warning: a: error: is only a word in it\"; touch a'",
    ],
    "autotools announce what they do": [
        "./lib/autoconf/general.m4:2434: AC_DIAGNOSE is expanded from...",
        "aclocal.m4:122: AC_PROG_LIBTOOL is expanded from...",
        "configure.ac:6: You should run autoupdate.",
        "configure.ac:4: the top level",
        "configure.ac:5: installing './compile'",
        "Makefile.am:5: but option 'subdir-objects' is disabled",
        "Makefile.am: installing './depcomp'",
        "libtoolize: putting auxiliary files in '.'.",
        'libtool: compile:  gcc -DMSG="a: error: b" -c a.c  -fPIC -DPIC -o .libs/a.o',
    ],
    "hints": [
        "performance hint: hint.pyx:3:0: Exception check on 'f' will always require the GIL to be acquired.",
        "Makefile:1: HDF5_DIR is not set",
        "a.c:3:5: optimized: loop vectorized using 16 byte vectors",
        "a.c:3:5: missed: couldn't vectorize loop",
        "e.c:1:28: remark: vectorized loop (vectorization width: 4) [-Rpass=loop-vectorize]",
        "a.c:1:19: note: each undeclared identifier is reported only once",
        "/tmp/x.s: Assembler messages:",
        "/usr/bin/ld: x.o: in function `main':",
        "    main_test.go:3: error: fine",
        "go: downloading golang.org/x/error v0.1.0",
        "Note: Y.java uses or overrides a deprecated API.",
    ],
    "times and addresses": [
        "2026-11-22T09:36:59.717: starting",
        "12:34:56: something",
        "localhost:5432: accepting connections",
        "http://host:8080: down",
        "--2026-11-30 03:41:39--  http://nohost.invalid/x",
    ],
    "passed": [
        "PASS: error",
        "PASS: tests/error: fatal error: expected",
        "XFAIL: error.sh",
        "ok 3 - error: bad input is rejected",
        "not ok 4 - later # TODO not written",
        "2/2 Test #2: ok_error .........................   Passed    0.00 sec",
        "tests/test_error.py::test_error PASSED                                   [ 20%]",
        "test_error (__main__.T.test_error) ... ok",
        "test error::fatal ... ok",
        "[       OK ] Error.Handling (0 ms)",
        "--- PASS: TestError (0.00s)",
        "1/2 error_test OK              0.01s",
    ],
    "counts": [
        "FAIL: 0",
        "Error: 0",
        "# ERROR: 0",
        "# FAIL:  0",
        "0 errors",
        "Errors: 0",
        "ERRORS: 0",
        "Failed: 0",
        "3 errors",
    ],
    "commands that are shown": [
        "==> [2026-11-22-09:36:59.717393] '/bin/sh' '-c' 'echo a: error: b; exit 1'",
        '==> [2026-11-22-09:36:59.717393] FILTER FILE: a.c [replacing "error: x"]',
        "==> [2026-11-22-09:36:59.717393] Installing error: x to /opt",
        "+ echo 'fatal error: x'",
        'test -f x || { echo "ERROR: x is missing: error: y"; exit 1; }',
        "gcc -Werror -DX='a: error: b' -c error.c -o error.o",
        "/bin/sh ../libtool --tag=CC --mode=compile gcc -DX='a: error: b' -c a.c",
        "[ 50%] Building C object CMakeFiles/error.dir/error: x.c.o",
    ],
    "questions": [
        "checking for error... no",
        "checking whether errors: fatal error: matter... yes",
        "-- error: not really",
        "-- Looking for strerror: error - not found",
        "-- Performing Test HAVE_X - Failed",
        "Message: error: no",
        "Program error: found: NO",
        "Run-time dependency nope found: NO (tried pkgconfig and cmake)",
    ],
}


def events(*lines: str, use_re2: bool = True) -> list[LogEvent]:
    return list(scan(["\n".join(lines).encode() + b"\n"], use_re2=use_re2))


@pytest.mark.parametrize("line", [line for lines in ERRORS.values() for line in lines])
def test_a_tools_error_is_an_error(line: str) -> None:
    (event,) = events("before", line, "after")
    assert event.kind == "error"
    assert line.endswith(event.text)  # without the time before it, if it has one


@pytest.mark.parametrize("line", WARNINGS)
def test_a_tools_warning_is_a_warning(line: str) -> None:
    assert [(event.kind, event.text) for event in events("before", line, "after")] == [("warning", line)]


@pytest.mark.parametrize("line", [line for lines in NOTHING.values() for line in lines])
def test_what_is_neither_is_left_alone(line: str) -> None:
    assert events("before", line, "after") == []


LINES = Path(__file__).resolve().parents[2] / "data/log_lines"


@pytest.mark.parametrize(("file", "kinds"), [("errors.txt", ["error"]), ("warnings.txt", ["warning"]), ("nothing.txt", [])])
def test_further_lines_count_as_what_their_file_says(file: str, kinds: list[str]) -> None:
    lines = (LINES / file).read_text().split("\n")[:-1]
    assert len(lines) >= 5
    wrong = [line for line in lines if [event.kind for event in events("before", line, "after")] != kinds]
    assert wrong == []


def test_without_re2_the_same_lines_are_found() -> None:
    lines = [line for lines in (*ERRORS.values(), WARNINGS, *NOTHING.values()) for line in lines]
    assert events(*lines, use_re2=False) == events(*lines)


@pytest.mark.parametrize(
    ("lines", "text", "place"),
    [
        (
            ["x.f90:3:3:", "", "    3 |   y = 1", "      |   1", "Error: Symbol 'y' at (1) has no IMPLICIT type"],
            "Error: Symbol 'y' at (1) has no IMPLICIT type",
            ("x.f90", 3),
        ),
        (
            [
                "Traceback (most recent call last):",
                '  File "a.py", line 7, in <module>',
                "    import nope",
                "ImportError: nope",
            ],
            "ImportError: nope",
            ("a.py", 7),
        ),
        (
            [
                "Error compiling Cython file:",
                "---------",
                "    return y +",
                "",
                "a.pyx:3:14: Expected an identifier or literal",
            ],
            "a.pyx:3:14: Expected an identifier or literal",
            ("a.pyx", 3),
        ),
        (
            ["FAILED: a.o ", "cc -c a.c", "a.c:1:19: error: 'x' undeclared", "ninja: build stopped: subcommand failed."],
            "a.c:1:19: error: 'x' undeclared",
            ("a.c", 1),
        ),
        (
            [
                "  error: subprocess-exited-with-error",
                "  ╰─> [3 lines of output]",
                "      error: invalid command 'bdist_wheel'",
            ],
            "      error: invalid command 'bdist_wheel'",
            ("", None),
        ),
        (
            ["error[E0425]: cannot find function `foo`", " --> src/main.rs:2:41", "  |"],
            "error[E0425]: cannot find function `foo`",
            ("src/main.rs", 2),
        ),
        (['File "b.ml", line 3, characters 0-0:', "Error: Syntax error"], "Error: Syntax error", ("b.ml", 3)),
        (
            ["/w/a.js:2", "foo(", "", "SyntaxError: Unexpected end of input", "    at wrapSafe (node:internal:1:1)"],
            "SyntaxError: Unexpected end of input",
            ("/w/a.js", 2),
        ),
        (
            ['Exception in thread "main" java.lang.RuntimeException: bad', "\tat Y.main(Y.java:1)"],
            'Exception in thread "main" java.lang.RuntimeException: bad',
            ("Y.java", 1),
        ),
        (["./configure: 1: AC_INIT: not found"], "./configure: 1: AC_INIT: not found", ("./configure", 1)),
        (
            ["BEGIN failed--compilation aborted at x.pl line 2."],
            "BEGIN failed--compilation aborted at x.pl line 2.",
            ("x.pl", 2),
        ),
        (
            ["CMake Error at b/CMakeLists.txt:12 (foo):"],
            "CMake Error at b/CMakeLists.txt:12 (foo):",
            ("b/CMakeLists.txt", 12),
        ),
        (
            ["/usr/bin/ld: /src/d.c:1: undefined reference to `f'"],
            "/usr/bin/ld: /src/d.c:1: undefined reference to `f'",
            ("/src/d.c", 1),
        ),
        (["sh: 1: foo: not found"], "sh: 1: foo: not found", ("", None)),
        (["curl: (7) Failed to connect to 127.0.0.1 port 9"], "curl: (7) Failed to connect to 127.0.0.1 port 9", ("", None)),
        (
            ["x.foo:12: I cannot do that", "make: *** [Makefile:2: all] Error 1"],
            "x.foo:12: I cannot do that",
            ("x.foo", 12),
        ),
    ],
)
def test_the_first_error_is_the_one_that_says_what_is_wrong(
    lines: list[str], text: str, place: tuple[str, int | None]
) -> None:
    first = next(event for event in events(*lines) if event.kind == "error")
    assert (first.text, first.file, first.file_line) == (text, *place)


def test_a_real_autoreconf_that_fails_has_its_own_errors_only() -> None:
    log = """\
configure.ac:4: warning: The macro `AC_PROG_LIBTOOL' is obsolete.
configure.ac:4: You should run autoupdate.
aclocal.m4:122: AC_PROG_LIBTOOL is expanded from...
configure.ac:4: the top level
configure.ac:3: installing './compile'
configure.ac:2: installing './missing'
Makefile.am:3: warning: 'INCLUDES' is the old name for 'AM_CPPFLAGS' (or '*_CPPFLAGS')
Makefile.am: error: required file './NEWS' not found
Makefile.am: installing './INSTALL'
autoreconf: error: automake failed with exit status: 1
"""
    assert [event.log_line for event in events(log) if event.kind == "error"] == [8, 10]


@pytest.mark.parametrize(
    "piece", ["x", " ", "a:", "1: ", "a.c:1: ", " at x line 3", "./", "[", "Abc.", '"a', "(a:1", "echo ", "error "]
)
def test_a_line_of_a_mebibyte_is_scanned_at_once(piece: str) -> None:
    line = piece * ((1 << 20) // len(piece)) + "error: x"
    assert len(events(line)) <= 1
