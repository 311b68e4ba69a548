"""Shell completion and the manual page, made from the verbs' own argparse parsers, so that they cannot differ from --help.

Knows argparse and troff; knows no verb. Source: bash(1) "Programmable Completion", man-pages(7).
"""

import argparse
from collections.abc import Mapping

_BASH = """\
# bash completion for spack-farm: eval "$(spack-farm completion bash)"
_spack_farm() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}}
  if [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "{verbs} --help --version" -- "$word")); return; fi
  case "$verb $before" in
{files}
  esac
  case $verb in
{options}
  esac
}}
complete -o default -F _spack_farm spack-farm
"""
_ZSH = """\
# zsh completion for spack-farm: eval "$(spack-farm completion zsh)"
autoload -U +X bashcompinit && bashcompinit
"""


def completion(shell: str, parsers: Mapping[str, argparse.ArgumentParser]) -> str:
    """Return the completion script for `bash` or `zsh`; options that take a file or a folder complete file names."""
    files: list[str] = []
    options: list[str] = []
    for verb, parser in parsers.items():
        words: list[str] = sub_verbs(parser)
        for action in _actions(parser):
            words += action.option_strings
            flag = {"FOLDER": "-d", "FILE": "-f"}.get(str(action.metavar))
            files += [
                f'    "{verb} {option}") COMPREPLY=($(compgen {flag} -- "$word")); return;;'
                for option in action.option_strings
                if flag
            ]
        options.append(f'    {verb}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word"));;')
    text = _BASH.format(verbs=" ".join(parsers), files="\n".join(files) or "    *) ;;", options="\n".join(options))
    return _ZSH + text if shell == "zsh" else text


def manual(parsers: Mapping[str, argparse.ArgumentParser], *, version: str) -> str:
    """Return the manual page spack-farm(1) in troff."""
    lines = [
        f'.TH SPACK-FARM 1 "" "spack-farm {version}" "User Commands"',
        ".SH NAME",
        "spack\\-farm \\- turn GitLab jobs into signed Spack binaries",
        ".SH SYNOPSIS",
        *(f".B spack\\-farm {verb}\n[options]\n.br" for verb in parsers),
    ]
    for verb, parser in parsers.items():
        lines += [f".SH spack\\-farm {_troff(verb)}", _troff(parser.description or "")]
        for action in _actions(parser):
            names = ", ".join(action.option_strings) or str(action.metavar)
            value = f" {action.metavar}" if action.option_strings and action.metavar else ""
            lines += [".TP", f".B {_troff(names + value)}", _troff(action.help or "")]
        if parser.epilog:
            lines += [".PP", ".nf", _troff(parser.epilog.rstrip()), ".fi"]
    return "\n".join(lines) + "\n"


def sub_verbs(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of the verbs below a verb; most have none."""
    return [name for action in parser._actions if isinstance(action.choices, dict) for name in action.choices]  # noqa: SLF001


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the parser's arguments and those of the verbs below it. argparse shows them nowhere else."""
    found: list[argparse.Action] = []
    for action in parser._actions:  # noqa: SLF001  see above
        if isinstance(action.choices, dict):
            found += [below for sub in action.choices.values() for below in _actions(sub)]
        else:
            found.append(action)
    return list({" ".join(action.option_strings) or action.dest: action for action in found}.values())


def _troff(text: str) -> str:
    """Return the text with what troff would take for its own escaped."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in escaped.split("\n"))
