"""The name of a process in the document: its program and its source file, nothing else of its command line.

A command line may hold tokens and paths. So a narrow rule says which arguments are shown, not a list which are hidden. Pure.
"""

import re

_BASE_NAME = re.compile(r"[\w.+][\w.+-]{0,63}", re.ASCII)
_SOURCE = re.compile(
    r".+\.(c|cc|cp|cpp|cxx|c\+\+|h|hh|hpp|i|ii|m|mm|s|S|C|cu|hip|f|for|ftn|f77|f90|f95|f03|f08|F|FOR|F77|F90|F95|F03|F08"
    r"|rs|go|java|scala|kt|py|pyx|pl|pm|rb|sh|lua|jl|R|hs|ml|swift|y|l|proto)",
    re.ASCII,
)
_INTERPRETERS = re.compile(r"(python|perl|ruby|lua|sh|bash|dash|ksh|zsh)[\d.]*", re.ASCII)
_OUTPUTS = ("-o", "-MT", "-MF", "-MQ", "-MD", "-MMD")
# After these options an interpreter takes a program's text or a module, and then that program's arguments.
_INLINE = re.compile(r"-[A-Za-z]*[cem]", re.ASCII)


def short_command(arguments: list[str], *, name: str) -> str:
    """Return the base names of the program and, if there is one, of its source file; of `name` if there are no arguments."""
    program = _base_name(arguments[0].partition(" ")[0].removeprefix("-")) if arguments else ""
    if not program:
        program = _base_name(name.replace(" ", "_")) or "?"
    rest = arguments[1:]
    subject = _script(rest) if _INTERPRETERS.fullmatch(program) else _source(rest)
    return f"{program} {subject}" if subject else program


def _script(arguments: list[str]) -> str:
    for argument in arguments:
        if _INLINE.fullmatch(argument):
            return ""
        if not argument.startswith("-"):
            return _base_name(argument) if "/" in argument or _SOURCE.fullmatch(argument) else ""
    return ""


def _source(arguments: list[str]) -> str:
    for before, argument in zip(["", *arguments], arguments, strict=False):
        # The argument after a long option may be its value: `--password hunter2.c`.
        if argument.startswith("-") or before.startswith("--") or before in _OUTPUTS:
            continue
        name = _base_name(argument)
        if name and _SOURCE.fullmatch(name):
            return name
    return ""


def _base_name(path: str) -> str:
    """Return the base name if it looks like a file's, else an empty text."""
    name = path.rpartition("/")[2]
    return name if _BASE_NAME.fullmatch(name) else ""
