"""CTest's tables: which lines of a build log are errors and warnings, and where they name a file.

Patterns for kwsys (see `kwsys_regex`), as they are after C++ unescaping; equal in CMake 3.25.1 to 4.4.2.
Source: CMake, Source/CTest/cmCTestBuildHandler.cxx, whose license follows.
"""

# CMake - Cross Platform Makefile Generator
# Copyright 2000-2026 Kitware, Inc. and Contributors. All rights reserved.
#
# Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following
# conditions are met:
#
# * Redistributions of source code must retain the above copyright notice, this list of conditions and the following
#   disclaimer.
# * Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following
#   disclaimer in the documentation and/or other materials provided with the distribution.
# * Neither the name of Kitware, Inc. nor the names of Contributors may be used to endorse or promote products derived from
#   this software without specific prior written permission.
#
# THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES,
# INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
# DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL,
# SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
# SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY,
# WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
# OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.

ERRORS = (
    "^[Bb]us [Ee]rror",
    "^[Ss]egmentation [Vv]iolation",
    "^[Ss]egmentation [Ff]ault",
    ":.*[Pp]ermission [Dd]enied",
    r"([^ :]+):([0-9]+): ([^ \t])",
    r"([^:]+): error[ \t]*[0-9]+[ \t]*:",
    "^Error ([0-9]+):",
    "^Fatal",
    "^Error: ",
    "^Error ",
    "[0-9] ERROR: ",
    '^"[^"]+", line [0-9]+: [^Ww]',
    "^cc[^C]*CC: ERROR File = ([^,]+), Line = ([0-9]+)",
    r"^ld([^:])*:([ \t])*ERROR([^:])*:",
    r"^ild:([ \t])*\(undefined symbol\)",
    "([^ :]+) : (error|fatal error|catastrophic error)",
    "([^:]+): (Error:|error|undefined reference|multiply defined)",
    r"([^:]+)\(([^\)]+)\) ?: (error|fatal error|catastrophic error)",
    "^fatal error C[0-9]+:",
    ": syntax error ",
    "^collect2: ld returned 1 exit status",
    "ld terminated with signal",
    "Unsatisfied symbol",
    "^Unresolved:",
    "Undefined symbol",
    r"^Undefined[ \t]+first referenced",
    "^CMake Error.*:",
    r":[ \t]cannot find",
    r":[ \t]can't find",
    r": \*\*\* No rule to make target [`'].*\'.  Stop",
    r": \*\*\* No targets specified and no makefile found",
    ": Invalid loader fixup for symbol",
    ": Invalid fixups exist",
    ": Can't find library for",
    ": internal link edit command failed",
    r": Unrecognized option [`'].*\'",
    r'", line [0-9]+\.[0-9]+: [0-9]+-[0-9]+ \([^WI]\)',
    "ld: 0706-006 Cannot find or open library file: -l ",
    r"ild: \(argument error\) can't find library argument ::",
    "^could not be found and will not be loaded.",
    "s:616 string too big",
    "make: Fatal error: ",
    "ld: 0711-993 Error occurred while writing to the output file:",
    "ld: fatal: ",
    "final link failed:",
    r"make: \*\*\*.*Error",
    r"make\[.*\]: \*\*\*.*Error",
    r"\*\*\* Error code",
    "nternal error:",
    r"Makefile:[0-9]+: \*\*\* .*  Stop\.",
    ": No such file or directory",
    ": Invalid argument",
    r"^The project cannot be built\.",
    r"^\[ERROR\]",
    "^Command .* failed with exit code",
    'lcc: "([^"]+)", (line|строка) ([0-9]+): (error|ошибка)',
)

ERROR_EXCEPTIONS = (
    "instantiated from ",
    "candidates are:",
    ": warning",
    ": WARNING",
    r": \(Warning\)",
    ": note",
    "Note:",
    "makefile:",
    "Makefile:",
    r":[ \t]+Where:",
    "([^ :]+):([0-9]+): Warning",
    "------ Build started: .* ------",
)

WARNINGS = (
    "([^ :]+):([0-9]+): warning:",
    "([^ :]+):([0-9]+): note:",
    "^cc[^C]*CC: WARNING File = ([^,]+), Line = ([0-9]+)",
    r"^ld([^:])*:([ \t])*WARNING([^:])*:",
    "([^:]+): warning ([0-9]+):",
    '^"[^"]+", line [0-9]+: [Ww](arning|arnung)',
    r"([^:]+): warning[ \t]*[0-9]+[ \t]*:",
    "^(Warning|Warnung) ([0-9]+):",
    "^(Warning|Warnung)[ :]",
    "WARNING: ",
    "([^ :]+) : warning",
    "([^:]+): warning",
    r'", line [0-9]+\.[0-9]+: [0-9]+-[0-9]+ \([WI]\)',
    "^cxx: Warning:",
    ".*file: .* has no symbols",
    "([^ :]+):([0-9]+): (Warning|Warnung)",
    r"\([0-9]*\): remark #[0-9]*",
    r'".*", line [0-9]+: remark\([0-9]*\):',
    "cc-[0-9]* CC: REMARK File = .*, Line = [0-9]*",
    "^CMake Warning.*:",
    r"^\[WARNING\]",
    'lcc: "([^"]+)", (line|строка) ([0-9]+): (warning|предупреждение)',
)

WARNING_EXCEPTIONS = (
    r"/usr/.*/X11/Xlib\.h:[0-9]+: war.*: ANSI C\+\+ forbids declaration",
    r"/usr/.*/X11/Xutil\.h:[0-9]+: war.*: ANSI C\+\+ forbids declaration",
    r"/usr/.*/X11/XResource\.h:[0-9]+: war.*: ANSI C\+\+ forbids declaration",
    "WARNING 84 :",
    "WARNING 47 :",
    "makefile:",
    "Makefile:",
    "warning:  Clock skew detected.  Your build may be incomplete.",
    "/usr/openwin/include/GL/[^:]+:",
    "bind_at_load",
    "XrmQGetResource",
    "IceFlush",
    r"warning LNK4089: all references to [^ \t]+ discarded by .OPT:REF",
    "ld32: WARNING 85: definition of dataKey in",
    r'cc: warning 422: Unknown option "\+b',
    "_with_warning_C",
)

FILE_AND_LINE = (
    (r"^Warning W[0-9]+ ([a-zA-Z.\:/0-9_+ ~-]+) ([0-9]+):", 1, 2),
    ("^([a-zA-Z./0-9_+ ~-]+):([0-9]+):", 1, 2),
    (r"^([a-zA-Z.\:/0-9_+ ~-]+)\(([0-9]+)\)", 1, 2),
    (r"^[0-9]+>([a-zA-Z.\:/0-9_+ ~-]+)\(([0-9]+)\)", 1, 2),
    (r"^([a-zA-Z./0-9_+ ~-]+)\(([0-9]+)\)", 1, 2),
    ('"([a-zA-Z./0-9_+ ~-]+)", line ([0-9]+)', 1, 2),
    ("File = ([a-zA-Z./0-9_+ ~-]+), Line = ([0-9]+)", 1, 2),
    ('lcc: "([^"]+)", (line|строка) ([0-9]+): (error|ошибка|warning|предупреждение)', 1, 3),
)
"""Pattern, group of the file, group of the line."""
