r"""What the tools of package builds print, a table row for each family: the rules of `spack` that CTest does not have.

Patterns are what RE2 and Python have in common; each matches within one line. Written from the tools' real output
(tests/unit/ctest_xml/test_tool_rules.py has its lines). A place alone (`file:line: text`) is no evidence: many tools
announce steps so. It is an error with a word of severity, or in a language whose compiler writes none.
"""

from dataclasses import dataclass

from ctest_xml.memory_kills import MEMORY_KILLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """The rules of one family of tools; `verdicts` says how doubtful lines, headings and failures are decided on."""

    errors: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    """Complaints of programs whose callers often go on: errors only if a failure follows at once, else warnings."""
    mild: tuple[str, ...] = ()
    """Doubtful although their words are those of an error."""
    attempts: tuple[str, ...] = ()
    """What may have been tried again in another way: errors only if a failure or another error follows at once."""
    headings: tuple[str, ...] = ()
    """Lines that announce an error: errors only if no other error follows."""
    failures: tuple[str, ...] = ()
    """Lines that say that something else has failed. They are errors as well."""
    not_errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    not_warnings: tuple[str, ...] = ()


_ECHOES = (
    # `==> [2026-11-22-09:36:59.717393] '/bin/sh' '-c' '…'`; Spack's own messages begin with Error or Warning
    r"^==> \[[^\]\n]*\] [^EW\n]",
    # `set -x`, and the added lines of a patch
    r"^\++ ",
    # a recipe that make shows before it runs it
    r"(?:^|[;&|({@]|then|else|do) *(?:echo|printf) +(?:-[ne]+ +)?[\"'`\\]",
    r"^libtool: (?:compile|link|install|relink|finish): +(?:[^c\n]|c[^a\n])",
    r"^(?:[^ :\n]*/)?(?:[a-z0-9_]+-)*(?:g?cc|[gc]\+\+|clang(?:\+\+)?|gfortran|nvcc|ic?p?x|ifx|cpp|ld|ar)(?:-[0-9.]+)? +-",
    r"^(?:[^ :\n]*/)?(?:ba|da|k|z)?sh +[^ :\n]+ ",
    r"^\[ *[0-9]+(?:/[0-9]+|%)\] [A-Z]",
    r"^\[[0-9]+/[0-9]+\] (?:[^eEfF \n]|[ef][^ar\n])",
    # `ctest -V`
    r"^[0-9]+: Test command: ",
)
"""Commands as they are shown before they run: their arguments may hold any word."""

_NAMES = (
    # the members that tar, rsync and find list, each a path alone
    r"^(?:\./)?[A-Za-z0-9_.+-]+/[^ :\n]*$",
    r"^(?:\./)?[A-Za-z0-9_.+-]+/[^:\n]*:$",
    r"^[A-Za-z0-9_+-]+[.-][A-Za-z0-9_.+-]*[A-Za-z0-9]$",
    # ls -l and tar -tv; cp -v, mv -v and install -v
    r"^[-dlcbps](?:[-rwxsStT]{9})[.+@]? +[0-9A-Za-z]",
    r"^(?:renamed |removed (?:directory )?|copied )?['\"][^'\"\n]*['\"](?: -> ['\"][^'\"\n]*['\"])?$",
    # unzip -l, stat, checksums, du
    r"^ +[0-9]+ +[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{5} +",
    r"^ +File: ",
    r"^[0-9a-f]{32,128} [ *]",
    r"^[0-9.]+[KMGT]?\t",
    # setuptools
    r"^ *(?:copying|writing|creating|adding|moving|deleting|removing|hard linking|byte-compiling) [^:\n]*$",
    # zip, unzip and jar
    r"^ *(?:adding|updating|extracting|inflating|exploding|creating|freshening): ",
    # the subjects of git's commits
    r"^HEAD is now at [0-9a-f]+ ",
    r"^Previous HEAD position was [0-9a-f]+ ",
    r"^\[[^\]\n]+ [0-9a-f]{7,40}\] ",
    # `git log --oneline` and `git branch -v`: a hash has digits and letters
    r"^(?:[*|/\\ ]* )?(?:[A-Za-z0-9_./-]+ +)?[0-9a-f]{3,38}(?:[0-9][a-f]|[a-f][0-9])[0-9a-f]* ",
    r"^(?:[*|/\\ ]* )?(?:[A-Za-z0-9_./-]+ +)?[0-9a-f]*(?:[0-9][a-f]|[a-f][0-9])[0-9a-f]{3,38} ",
    r"^(?:Applying|Skipped|Dropping|Cherry-picking): ",
    r"^(?:Saved working directory and index state|Dropped refs/stash@|Rebasing \(|Successfully rebased) ?",
    r"^(?:pick|fixup|squash|reword|edit|drop) [0-9a-f]{7,40} ",
    r"^ (?:create|delete|rename|rewrite) (?:mode [0-9]+ )?[^:\n]*$",
    # the tests that Go is about to run
    r"^(?:Benchmark|Fuzz|Example)[A-Za-z0-9_/]*$",
)
"""Names and titles that a tool lists while it works: any word may be in them."""

_PASSED = (
    r"^ *(?:PASS|XFAIL|SKIP|UNTESTED|UNSUPPORTED|UNRESOLVED)(?:: | )",
    r"^ *ok [0-9]",
    r"^ +error: (?:'.*'|[|>]-?)$",
    r"^ *not ok [0-9].*# *(?:TODO|todo|SKIP|skip)\b",
    r" Passed +[0-9.]+ sec",
    r"(?: |::)(?:PASSED|SKIPPED|XFAIL|XPASS)(?: |$)",
    r"\.\.\.+ *(?:\(cached\) )?(?:ok|OK|yes|no|none|done|found|not found|skipped|ignored|expected failure|[Pp]assed)\b",
    r"^\[ *(?:OK|RUN|PASSED|SKIPPED|DISABLED|-+|=+) *\]",
    r"^ *(?:--- (?:PASS|SKIP)|=== [A-Z]+):? ",
    r"^ *[0-9]+/[0-9]+ .* (?:OK|SKIP|EXPECTEDFAIL) +[0-9.]+ ?s",
)
"""Results of tests that passed, and of checks that were only questions: their names may hold any word."""

_COUNTS = (
    r"^[# *-]*[A-Za-z][A-Za-z ]*: *[0-9]+ *$",
    r"^[# *-]*(?:ERRORS?|Errors?|errors?|FAIL|Fail|Failed|FAILED|Failures?): *0\b",
    r"\b(?:FAILED|Failed|failed): 0\b",
    r"\b0 (?:FAILED|failed|errors?|failures?)\b",
)
"""Sums: `Error: 0`, `# FAIL:  0`."""

_PROGRAM = r"^[A-Za-z0-9_./+-]+: +(?:line [0-9]+: |[0-9]+: )?(?:[a-z.]+: )?"
_KINDS = r"(?:[Ff]atal|FATAL|[Ii]nternal|[Cc]atastrophic|[Ss]yntax|[Pp]arse|[Rr]untime|parser|lookup|I/O|validity|encoding)"

TOOLS = {
    "words that any tool uses": Tool(
        errors=(
            rf": *(?:{_KINDS} )?[Ee]rror(?:,? *[\[(#A-Z][^:\n]*)?:",
            rf": *(?:{_KINDS} )?ERROR(?:,? *[\[(#A-Z][^:\n]*)?:",
            rf": *(?:{_KINDS} )?error : ",
            rf"^{_KINDS} error : ",
            r":[0-9]+: +error$",
            r":[0-9.-]+ syntax error",
            rf"^ *(?:{_KINDS} )?[Ee]rror(?: ?\[[^\]\n]*\])? ?: ",
            rf"^ *(?:{_KINDS} )?ERROR(?: ?\[[^\]\n]*\])? ?: ",
            r": (?:fatal|Fatal|FATAL|panic): ",
            r"^ *(?:fatal|FATAL|Fatal|Panic|abort): ",
            r"\b[Ee]rror (?:while|trying to|writing|reading|opening) .*: ",
            r"^Error (?:occurred|in|at|while|opening|reading|writing|copying|loading|creating|running|executing|building) ",
            r"^\[(?:ERROR|FATAL|error|fatal)\] *[^ \n]",
            r" : (?:fatal |catastrophic |Command line )?error(?:$| ?:| [A-Z#]*[0-9]+ ?:)",
            r"\([0-9]+, ?[0-9]+\) (?:Error|Fatal): ",
            r"\b(?:No space left on device|Disk quota exceeded|Read-only file system|Input/output error|Stale file handle)",
            r": (?:Argument list too long|Exec format error|Text file busy|File size limit exceeded|Too many open files)",
        ),
        doubtful=(
            r": (?:No such file or directory|No such file$|Permission denied|Operation not permitted|Is a directory)",
            r": (?:Too many levels of symbolic links|Resource temporarily unavailable)",
            r": does not exist$",
            r": (?:Not a directory|File exists|Directory nonexistent|Invalid argument|Broken pipe|Connection refused)",
            rf"{_PROGRAM}[Cc]an(?:not|'t) ",
            rf"{_PROGRAM}[Cc]ould(?: not|n't) ",
            rf"{_PROGRAM}[Uu]nable to ",
            rf"{_PROGRAM}[Ff]ailed to ",
            rf"{_PROGRAM}[Uu]nrecogni[sz]ed ",
            rf"{_PROGRAM}[Uu]nknown ",
            rf"{_PROGRAM}[Ii]nvalid ",
            rf"{_PROGRAM}[Ii]llegal ",
            rf"{_PROGRAM}[Mm]issing ",
            rf"{_PROGRAM}[Uu]n(?:matched|terminated) ",
            r"\[Errno [0-9]+\] ",
        ),
        not_errors=(
            *_ECHOES,
            *_NAMES,
            *_PASSED,
            *_COUNTS,
            r"\bldconfig: Can't create temporary cache file",
            r": *(?:[Ww]arning|WARNING|[Nn]ote|[Rr]emark|[Ii]nfo|INFO|[Hh]int|optimized|missed) *[:,\[(]",
            r"^ +(?:raise|throw|assert|def|return|print)\b.*\(",  # code, as a traceback shows it
            r"^ *(?:WARNING|[Ww]arning|[Nn]ote|INFO|DEBUG)(?: *\[[^\]\n]*\])?:",
            r"\b[A-Z][A-Za-z]*Warning: ",
        ),
        warnings=(
            r"(?:^|[ :])[Ww]arning: ",
            r"^ *warning(?:\[[^\]\n]*\])?: ",
            r"^\[WARN(?:ING)?\]",
            r"\b[A-Z][A-Za-z]*Warning: ",
        ),
        not_warnings=(*_ECHOES, *_NAMES, *_PASSED, *_COUNTS, r": note: "),
    ),
    "memory": Tool(errors=MEMORY_KILLS),
    "Spack": Tool(
        errors=(r"^\[spack cc\] ERROR: ",),
        failures=(r"^==> (?:\[[^\]\n]*\] )?Error: ",),
        warnings=(r"^==> (?:\[[^\]\n]*\] )?Warning: ",),
    ),
    "processes that die": Tool(
        errors=(
            r"\b(?:Segmentation fault|Bus error|Illegal instruction|Aborted|Trace/breakpoint trap)(?: \(core dumped\)|$|  )",
            r"\bFloating point exception(?: \(core dumped\)|$|  )",
            r"^terminate called (?:after throwing|without an active)",
            r": Assertion .* failed\.?$",
            r"^Assertion failed: ",
            r"Sanitizer: ",
            r"^\*\*\* (?:stack smashing|buffer overflow) detected",
            r"^double free or corruption",
            r"^corrupted size vs",
            r"^free\(\): invalid",
            r"^(?:malloc|realloc|munmap_chunk)\(\): ",
            r": version [`'].*' not found \(required by ",
            r"^mpirun (?:was unable|noticed)",
            r"^There are not enough slots available",
            r"\berror while loading shared libraries: ",
            r"^dyld(?:\[[0-9]+\])?: .*Library not loaded",
            r"\bdied due to signal [0-9]",
            r"\bsignal terminated program ",
            r"\bCheck failed: ",
            r"\bMPI_ABORT was invoked",
            r"\bPETSC ERROR: ",
        ),
    ),
    "make": Tool(
        errors=(r"make(?:\[[0-9]+\])?: \*\*\* ", r":[0-9]+: \*\*\* .*  Stop\.$"),
        failures=(r"make(?:\[[0-9]+\])?: \*\*\* \[", r"\*\*\* Error code [0-9]", r"\*\*\* \[.*\] Error [0-9]"),
        not_errors=(
            r"\*\*\* Waiting for unfinished jobs",
            r"\bmake(?:\[[0-9]+\])?: .* \(ignored\)$",
            r"^\*\*\* .*\(ignored\)$",
        ),
    ),
    "ninja": Tool(errors=(r"^ninja: (?:error|fatal): ",), headings=(r"^FAILED: ",), failures=(r"^ninja: build stopped: ",)),
    "SCons, waf, b2, Bazel, Gradle, Ant": Tool(
        errors=(
            r"^scons: \*\*\* ",
            r"^The configuration failed$",
            r"^\.\.\.failed [a-z]",
            r"^ ?-> task in '.*' failed",
            r"^(?:Execution failed for task|A problem occurred) ",
            r"^e: .*\.kts?",
        ),
        headings=(r"^> Task .* FAILED$",),
        failures=(
            r"^scons: building terminated because of errors",
            r"^Build failed$",
            r"^BUILD FAILED\b",
            r"^FAILURE: Build failed",
        ),
    ),
    "shells": Tool(
        errors=(
            r": Syntax error: ",
            r": syntax error(?: |:|,|$)",
            r": unexpected EOF while looking for matching ",
            # a macro that autoconf did not expand, because its .m4 file is not installed
            r": (?:A[CMSXH]|LT|PKG|IT|GTK|GLIB|GNOME|m4|_AC|_AM)_[A-Za-z0-9_]+: (?:command )?not found",
            r": [Bb]ad substitution",
            r": parameter (?:null or )?not set$",
            r": unbound variable$",
            r"\b(?:[Cc]annot fork$|fork: .*Resource temporarily)",
            r": must be set$",
        ),
        doubtful=(
            r": (?:command not found|Command not found)",
            r": (?:line )?[0-9]+: .*: not found$",
            r": cannot execute\b",
            r"^[A-Za-z0-9_./+-]+: not found$",
            r": .*: (?:unary|binary) operator expected$",
            r": integer expression expected$",
        ),
    ),
    "files and archives": Tool(
        errors=(
            r"\bnot in gzip format$",
            r"\b[Ff]ile format not recognized(?:$|;)",
            r"^[a-z0-9]+: .*\b[Uu]nexpected [Ee](?:nd|OF)\b",
            r"^[a-z0-9]+: .*\b(?:crc error|CRC failed)",
            r"^[a-z0-9]+: .*\b[Cc]ompressed data\b",
            r"^[a-z0-9]+: .*\bunknown header",
            r"\bis not a bzip2 file\.?$",
            r"^bzip2: Data integrity error",
            r"^cpio: premature end of archive",
            r"\bEnd-of-central-directory signature not found\.",
            r"^tar: This does not look like a tar archive",
            r"^tar: Skipping to next header",
            r"^sed: (?:-e expression|file .* line [0-9])",
            r"^[gmn]?awk: (?:cmd\. |.*)?line",
        ),
        doubtful=(
            r"^[A-Za-z0-9_./+-]+: .*(?:omitting directory| is not a directory$| are the same file$|EOF on )",
            r"^(?:[^ :\n]*/)?grep: ",
        ),
        failures=(
            r"^tar: Error is not recoverable",
            r"^tar: Child returned status",
            r"^tar: Exiting with failure",
            r"\bterminated with exit code [1-9]",
        ),
        not_errors=(
            r"^[^ \n]*: (?:creat(?:ed|ing)|remov(?:ed|ing)|Removing leading|copying) ",
            r"^diff: ",
        ),
    ),
    "patch": Tool(
        errors=(
            r"^patch: \*\*\*\* ",
            r"^Hunk #[0-9]+ FAILED at ",
            r"^can't find file to patch at ",
            r"^error: patch failed: ",
        ),
        doubtful=(r"^Reversed \(or previously applied\) patch detected!",),
        failures=(r"^[0-9]+ out of [0-9]+ hunks? (?:FAILED|failed|ignored)",),
    ),
    "downloads and version control": Tool(
        errors=(
            r"^git: '.*' is not a git command",
            r"^Host key verification failed\.",
        ),
        attempts=(
            r"\bcurl: \([0-9]+\) ",
            r"^wget: ",
            r"\bfailed: (?:(?:Connection|Name or service|Temporary failure|No route|Network is|Host )\b)",
            r"\b(?:ERROR|error) [45][0-9][0-9]: ",
            r"\b(?:Could not resolve host|Temporary failure in name resolution)",
            r"^ssh: ",
            r"^svn: E[0-9]",
            r"^rsync: ",
            r"^rsync error: ",
            r"\bDirect fetching of that commit failed\.",
            r"^fatal: (?:unable to (?:access|connect)|[Cc]ould not read|[Rr]epository|Remote branch|[Cc]ouldn't find)",
            r"^fatal: (?:.* does not appear to be a git repository|reference is not a tree|protocol error|early EOF)",
            r"^error: (?:pathspec '|RPC failed|[Cc]ould not fetch|unable to read sha1|failed to push)",
        ),
        mild=(
            # scripts ask git for a version and do without
            r"^fatal: (?:not a git repository|[Nn]o (?:names|tags|annotated|tag) |[Nn]o tags can|detected dubious)",
            r"^fatal: (?:ambiguous argument|bad revision|Needed a single|your current branch|unsafe repository|No such ref)",
        ),
        not_warnings=(r"^hint: ",),
    ),
    "packages of distributions": Tool(
        errors=(
            r"^E: ",
            r"^dpkg(?:-[a-z]+)?: (?:error|dependency problems)",
            r"^Error: (?:Unable to find a match|Nothing to do)",
            r"^No package .* available\.",
        ),
        doubtful=(r"^Err:[0-9]+ ", r"^dpkg-query: "),
        warnings=(r"^W: ",),
    ),
    "Autotools": Tool(
        errors=(
            r": possibly undefined macro: ",
            r"^libtool: (?:.*cannot find |Version mismatch error)",
            r"^autoreconf[0-9.-]*: 'configure\.ac'",
            r": required file .* not found$",
        ),
        doubtful=(
            r"^Package .* was not found in the pkg-config search path",
            r"^Package '.*', required by '.*', not found$",
        ),
        failures=(
            r"^auto[a-z0-9]+(?:-[0-9.]+)?: .*failed with exit status",
            r"^aclocal(?:-[0-9.]+)?: .*failed with exit status",
            r"^No package '.*' found$",
        ),
        not_errors=(
            r":[0-9]+: (?:You should run autoupdate|the top level|installing '|.* is expanded from\.\.\.$)",
            r":[0-9]+: (?:Consider|  *|but option|while )",
        ),
        not_warnings=(r":[0-9]+: .* is expanded from\.\.\.$",),
    ),
    "CMake": Tool(
        errors=(r"^ *CMake Error\b", r"^Error copying (?:file|directory)"),
        failures=(r"^-- Configuring incomplete, errors occurred!",),
        not_errors=(r"^-- (?:[^C\n]|C[^o\n])", r"^CMake (?:Deprecation )?Warning"),
        warnings=(r"^ *CMake (?:Deprecation )?Warning\b",),
    ),
    "Meson": Tool(
        not_errors=(
            r"^Message: ",
            r"^(?:Checking|Compiler for|Dependency|Run-time|Build-time|Program|Library|Header|Has) .*: (?:YES|NO|[0-9])",
        )
    ),
    "C and C++": Tool(
        failures=(
            r"^(?:[^ \n]*/)?collect2: error: ",
            r": error: linker command failed with exit code",
            r"^compilation aborted for ",
        ),
        not_errors=(r"\binstantiated from ", r"\bcandidates are:"),
    ),
    "linkers and binary tools": Tool(
        errors=(
            r"\b(?:undefined reference to|undefined symbol: |multiple definition of|duplicate symbol: )",
            r"\brelocation (?:truncated to fit|R_[A-Z0-9_]+ .*(?:can not|cannot|out of range))",
            r"\blibrary not found for -l",
            r"\bld returned [0-9]+ exit status",
            r"\bDSO missing from command line",
            r"\bld(?:\.[a-z]+)?(?:-[0-9.]+)?: (?:cannot |can't |unknown |unrecognized )",
            r"\b(?:cannot find -l|cannot open output file|final link failed)",
            r"^Undefined symbols for architecture",
            r"\bsymbol\(s\) not found for architecture",
            r"\bfile truncated$",
            r": file not recognized",
            r" is incompatible with .* output$",
            r": malformed archive",
            r"\bversion node not found for symbol",
        ),
        not_errors=(
            r": in function [`']",
            r"^[^;\n]*: (?:first defined|previous definition) here$",
        ),
    ),
    "Fortran": Tool(
        errors=(
            r"^ *Fortran runtime error: ",
            r"^ERROR STOP\b",
            r"^forrtl: ",
            r"^Program received signal SIG",
            r"-Fatal-.* TERMINATED by signal ",
            r"\b(?:PGF[A-Z0-9]*|PGC[A-Z0-9+]*|NVFORTRAN|NVC[A-Z0-9+]*)-[SF]-[0-9]+-",
            r"^(?:crayftn|ftn)-[0-9]+ (?:cray)?ftn: ERROR ",
            r'^"[^"\n]+", line [0-9.]+: [0-9-]+ \([SUE]\)',
        ),
        warnings=(
            r"\b(?:PGF[A-Z0-9]*|PGC[A-Z0-9+]*|NVFORTRAN|NVC[A-Z0-9+]*)-W-[0-9]+-",
            r"^(?:crayftn|ftn)-[0-9]+ (?:cray)?ftn: WARNING ",
        ),
    ),
    "CUDA": Tool(errors=(r"^(?:nvcc|ptxas|nvlink|fatbinary|cicc) *(?:fatal|error) *:",)),
    "Python": Tool(
        errors=(
            r"^ *(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Z][A-Za-z0-9_]*(?:Error|Exception|Interrupt)(?:: |$)",
            r"^E   +(?:[A-Za-z_][A-Za-z0-9_.]*(?:Error|Exception|Exit|Warning|Interrupt)\b|assert |Failed: |fixture )",
            r"^Fatal Python error: ",
            r": can't open file '.*': \[Errno",
            r"^ERROR collecting ",
            r"^INTERNALERROR> ",
        ),
        headings=(
            r"^ *Traceback \(most recent call last\):",
            r"^ *error: subprocess-exited-with-error",
        ),
        doubtful=(
            r"^[^ \n]*python[0-9.]*: No module named ",
            r"^ *(?:[a-z_][a-z0-9_]*\.)+[A-Z][A-Za-z]+: ",  # an exception of any name
        ),
        mild=(r"^ERROR: pip's dependency resolver ",),
        failures=(
            r"^ *error: [Cc]ommand '.*' failed",
            r"^ *error: (?:metadata-generation-failed|legacy-install-failure|failed-wheel-build)",
            r"^ *ERROR: (?:Failed building|Could not build wheels|Command errored out|Failed to build)",
        ),
        not_errors=(r"^ *Error compiling Cython file:",),
        warnings=(r"^WARNING: '.*' is missing",),
    ),
    "Perl": Tool(
        errors=(
            r"\bCan't locate .* in @INC\b",
            r"\bCan't locate object method ",
            r"^BEGIN failed--compilation aborted",
            r"^syntax error at .* line [0-9]",
            r"^(?:Global symbol|Bareword) \".*line [0-9]",
            r"\bCompilation failed in require at ",
            r"^Undefined subroutine .* line [0-9]",
            r" required--this is only (?:v|version )",
            r"^Can't open perl script ",
        ),
        doubtful=(r"^[^#\n].* at [^ \n]+ line [0-9]+(?:, <[^>\n]*> (?:line|chunk) [0-9]+)?\.$",),
        failures=(
            r"^Execution of .* aborted due to compilation errors",
            r" had compilation errors\.$",
            r"^Result: FAIL$",
        ),
        not_errors=(
            r"^(?:Use of |Useless use |Subroutine .* redefined|Argument \".*\" isn't|Name \".*\" used only once)",
            r"\b(?:masks earlier declaration|is deprecated at|is experimental at|Deprecated use of)\b",
        ),
        warnings=(
            r"^Use of uninitialized value",
            r"^Useless use of",
            r"^Subroutine .* redefined at",
            r"^Name \".*\" used only once",
        ),
    ),
    "Java": Tool(
        errors=(
            r"^Exception in thread \"",
            r"\bjava\.lang\.OutOfMemoryError\b",
            r"^Error occurred during initialization of VM",
            r"^# A fatal error has been detected by ",
            r"^\[ERROR\] [^ \n]*:\[[0-9]+,",
        ),
        headings=(r"^\[ERROR\] COMPILATION ERROR",),
        failures=(r"^\[INFO\] BUILD FAILURE", r"^\[ERROR\] Failed to execute goal "),
        not_errors=(r"^\[ERROR\] (?:-> |To see the full stack|Re-run Maven|For more information|\[Help|After correcting)",),
    ),
    "JavaScript": Tool(
        errors=(
            r"^ *(?:Uncaught )?[A-Za-z]*Error(?: \[[A-Z0-9_]+\])?: ",
            r"^FATAL ERROR: ",
            r"^ERROR in [./]",
            r"^error (?:Command failed|An unexpected error|Couldn't|TS[0-9]+:)",
            r"^ +[0-9]+:[0-9]+ +error +",
            r"^PHP (?:Fatal|Parse) error: ",
        ),
        failures=(
            r"^gyp ERR! build error",
            r"^npm (?:ERR!|error) (?:code |[Mm]issing |Failed |Exit |Invalid |Cannot |command failed|[45][0-9][0-9] )",
        ),
    ),
    "Rust": Tool(
        errors=(r"^ *error(?:\[E[0-9]+\])?: ", r"^ *thread '.*' (?:\([0-9]+\) )?panicked at "),
        failures=(r"^error: (?:could not compile|aborting due to|test failed|build failed)",),
    ),
    "Go": Tool(
        errors=(
            r"^(?:vet: )?[^ \t:\n]+\.go:[0-9]+:[0-9]+: ",
            r"^panic: ",
            r"^cannot find (?:module|package) ",
            r": import cycle not allowed",
            r": cannot load [^ \n]+: ",
            r"^pattern .*: directory prefix ",
            r"^ *--- FAIL: ",
        ),
        doubtful=(r"^go: ",),
        failures=(r"^FAIL\t", r"^exit status [1-9][0-9]*$"),
        not_errors=(
            r"^go: (?:downloading|finding|extracting|found|added|(?:up|down)graded|creating|to add|removed|warning) ",
            r"^ +[^ \t:\n]+_test\.go:[0-9]+: ",  # what a test logs
        ),
    ),
    "Cython, protoc, flex, TeX, gettext, Lua, Ruby, Ada": Tool(
        # their errors have a place and no word of severity
        errors=(
            r"^[^ \t:\n]+\.(?:pyx|pxd|pxi):[0-9]+:[0-9]+: ",
            r"^[^ \t:\n]+\.proto:(?: |[0-9]+:[0-9]+: )",
            r"^[^ \t:\n]+\.(?:l|ll|lex|lpp):[0-9]+: ",
            r"^[^ \t:\n]+\.(?:tex|sty|cls|ltx|dtx|texi|texinfo|txi|po|pot|bib):[0-9]+:(?:[0-9]+:)? ",
            r"^[^ \t:\n]+\.(?:rb|gemspec):[0-9]+:.*(?:syntax error|Error\)$)",
            # `Rakefile:3:in `require': cannot load such file -- x (LoadError)`, whatever the program's name
            r":[0-9]+:in [`'].*: .* \([A-Z][A-Za-z0-9_:]*\)$",
            r"^[^ \t:\n]+\.ad[abs]:[0-9]+:[0-9]+: ",
            r"^(?:[^ \n]*/)?lua(?:jit|c)?[0-9.]*: ",
            r"^! (?:LaTeX|Package|Class|pdfTeX|TeX|Undefined|Missing|Extra|Illegal|Misplaced|Paragraph|Emergency|Too many) ",
            r"^! (?:Use of|I can't|Argument of|Font|Dimension|File ended|Incompatible|Improper|Double|You can't| ==>) ",
            r"^--[a-z_]+_out: ",
            r"^protoc-gen-[a-z-]+: program not found",
            r"\[libprotobuf (?:ERROR|FATAL) ",
            r"^raised [A-Z_.]+ : ",
            r"^invalid command name \"",
            r"^can't read \".*\": no such",
            r"^couldn't (?:read|open|execute) ",
            r"^swig error : ",
            r"^Unable to find file ",
            r"^(?:Extension|Configuration|Application|Theme|Sphinx) error:$",
            r"^Warning, treated as error:$",
            r"\((?:ERROR|SEVERE)/[34]\) ",
            r"^(?:[^ \n]*/)?[a-z]*yacc: [ef] - ",
        ),
        failures=(
            r"^gnatmake: .* compilation error$",
            r"^gprbuild: \*\*\* ",
            r"^msg[a-z]+: found [0-9]+ fatal error",
            r"^rake aborted!",
        ),
        not_errors=(r"\.ad[abs]:[0-9]+:[0-9]+: (?:\(style\)|info:|warning:)",),
        warnings=(
            r"\[libprotobuf WARNING ",
            r"^(?:LaTeX|pdfTeX|Package [^:\n]+|Class [^:\n]+)[A-Za-z0-9 ]* [Ww]arning",
            r"\(WARNING/2\) ",
        ),
    ),
    "R, OCaml, Haskell": Tool(
        mild=(r"^Error in try\(",),
        errors=(
            r"^Error in .*[:)]",
            r"^Error : ",
            r"^Error \((?:warning|alert) ",
            r"^ocamlfind: Package ",
            r"\bhad non-zero exit status",
            r"^(?:cabal|stack|Setup|setup)(?:-[0-9.]+)?(?:\.l?hs)?: (?:Could not|Encountered|Cannot|The program)",
        ),
        failures=(r"^Execution halted$",),
        not_errors=(r"^Error : .* : Warning",),
    ),
    "tests": Tool(
        errors=(
            r"^(?:FAIL|ERROR|XPASS): [^ 0-9]",
            r"^\[ +FAILED +\]",
            r"::.* FAILED\b",
            r"^FAILED [^ ]+::",
            r"^-- FAILED:",
            r"\bFailed test",
            r"\*\*\*(?:Failed|Timeout|Exception|Not Run)\b",
            r" (?:FAIL|TIMEOUT|ERROR) +[0-9.]+ ?s\b",
            r"^ *not ok [0-9]",
            r"\.\.\. (?:FAIL|ERROR|FAILED)$",
            r"^[^ \n]*:[0-9]+: Failure$",
        ),
        doubtful=(
            r"\bFAILED\b",
            r"^[A-Za-z][A-Za-z0-9 _-]* failed[.!]?$",
        ),
        failures=(
            r"^Errors while running CTest",
            r"\b[1-9][0-9]* tests? failed out of ",
            r"^ *Dubious, test returned ",
            r"^FAILED \(",
            r"^test result: FAILED",
        ),
        not_errors=(r"^The following tests FAILED:$", r"^Error\(s\):? +0"),
    ),
}
"""Family of tools -> its rules."""

UNLABELLED = r"^[^ \t:\n]*[A-Za-z_][^ \t:\n]*\.[A-Za-z_][A-Za-z0-9_+]*:[0-9]+(?::[0-9]+)?: [^ \t\n]"
"""A place and a text, no severity: an error if it stands last before a failure that has no other error."""
NOT_UNLABELLED = r"\.(?:ac|am|in|m4|mk|cmake):[0-9]|: (?:optimized|missed|note|remark|info|warning|debug): "
