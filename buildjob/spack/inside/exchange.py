"""Runs inside Spack's own Python: a question comes as JSON in a file, and its answer goes to another.

What Spack can't answer is an answer, too: {"error": text, "is_fetch": bool}; `is_fetch` says that the network was to blame.
Written for Spack 1.1, 1.2.
"""

import json
import traceback

import mirror_access
import spack.error
import spack.util.executable
import spack.util.web


def answer_file(question_path, answer_path, answer):
    """Write what `answer` returns for the question."""
    with open(question_path, encoding="utf-8") as file:
        question = json.load(file)
    mirror_access.bound_s3()
    try:
        found = answer(question)
    except (spack.error.SpackError, spack.error.SpecSyntaxError, OSError, ValueError) as error:
        found = {"error": str(error).strip() or type(error).__name__, "is_fetch": failed_to_fetch(error)}
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(found, file)


def failed_to_fetch(error):
    """Whether an error came up where Spack needs the network to plan: a version of git, or what a recipe downloads."""
    if isinstance(error, (spack.error.FetchError, spack.util.web.SpackWebError)):
        return True
    if mirror_access.kind_and_text(error)[0] in mirror_access.OF_THE_NETWORK:
        return True
    # git's exit codes do not say what went wrong. There it is asked for its server first, and then only for what it has
    modules = [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return isinstance(error, spack.util.executable.ProcessError) and "spack.version.git_ref_lookup" in modules
