"""What a wrong command line may have meant: the nearest verb or option that is known, and the whole command with it.

Called when a verb has rejected its command line. Knows no verb: it gets their parsers.
"""

import argparse
import shlex
from collections.abc import Iterable, Sequence

from spack_farm.grammar import below, option_strings
from spelling.nearest import nearest


def of_verb(word: str, known: Iterable[str], rest: Sequence[str]) -> str:
    """Return a line with the command that a misspelled verb may have meant; "" if none is near."""
    near = nearest(word, known)
    return f"help: {shlex.join(['spack-farm', near, *rest])}\n" if near else ""


def of_arguments(parser: argparse.ArgumentParser, verb: str, given: Sequence[str]) -> str:
    """Return a line with the command that rejected arguments may have meant, or else how the verb is described."""
    current, words, corrected, found = parser, ["spack-farm", verb], list(given), False
    for position, word in enumerate(given):
        if word == "--":
            break
        verbs = below(current)
        if word in verbs:
            current = verbs[word]
            words.append(word)
            continue
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            known = option_strings(current)
        elif verbs and not word.startswith("-"):
            known, name, equals, value = sorted(verbs), word, "", ""
        else:
            continue
        if name in known:
            continue
        if near := nearest(name, known):
            corrected[position] = f"{near}{equals}{value}"
            found = True
        if not name.startswith("--"):
            break  # what follows belongs to a verb that is not known
    if found:
        return f"help: did you mean: {shlex.join(['spack-farm', verb, *corrected])}\n"
    return f"help: {shlex.join([*words, '--help'])}\n"
