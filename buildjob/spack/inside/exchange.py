"""Runs inside Spack's own Python: a question comes as JSON in a file, and its answer goes to another.

What Spack can't answer is an answer, too: {"error": text, "is_fetch": bool}; `is_fetch` says that the network was to blame.
The text has no value from the configuration of mirrors: credentials may be anywhere in it. Written for Spack 1.1, 1.2.
"""

import json
import traceback

import mirror_access
import spack.config
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
        found = rejection(error)
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(found, file)


def rejection(error):
    """What is answered instead of an answer."""
    return {"error": text_of(error).strip() or type(error).__name__, "is_fetch": failed_to_fetch(error)}


def text_of(error):
    """What an error says, without the values of a mirror's configuration, which Spack quotes in whole."""
    fault = getattr(error, "validation_error", None)
    path = [str(part) for part in getattr(fault, "absolute_path", ())]
    if fault is None or "mirrors" not in path:
        return str(error)
    reasons = sorted({reason for each in leaves(fault) for reason in reasons_of(each)})
    said = f"{':'.join(path)} is not as Spack wants it{': ' if reasons else ''}{'; '.join(reasons)}"
    return str(error).replace(fault.message, said)


def leaves(fault):
    """The faults that a fault consists of: one for each form that a value might have had."""
    return [leaf for each in fault.context for leaf in leaves(each)] if fault.context else [fault]


def reasons_of(fault):
    """What is wrong with a value, by its key alone."""
    key = ":".join(map(str, fault.path))
    if fault.validator == "additionalProperties":
        known = fault.schema.get("properties", {})
        return [f"unknown key '{name}'" for name in fault.instance if name not in known]
    if fault.validator == "required":
        return [f"missing key '{name}'" for name in fault.validator_value if name not in fault.instance]
    # the forms that the value does not have at all say nothing
    return [f"{key} is not of type {fault.validator_value}"] if fault.validator == "type" and key else []


def is_of_configuration(error):
    """Whether an error came up where Spack reads its configuration, and not from a fault of Spack's own."""
    if not isinstance(error, (spack.error.SpackError, ValueError)):
        return False
    return spack.config.__name__ in modules_of(error)


def failed_to_fetch(error):
    """Whether an error came up where Spack needs the network to plan: a version of git, or what a recipe downloads."""
    if isinstance(error, (spack.error.FetchError, spack.util.web.SpackWebError)):
        return True
    if mirror_access.kind_and_text(error)[0] in mirror_access.OF_THE_NETWORK:
        return True
    # git's exit codes do not say what went wrong. There it is asked for its server first, and then only for what it has
    if isinstance(error.__context__, spack.util.executable.ProcessError) and spack.config.__name__ in modules_of(error):
        return True  # configuration that is included from a git server
    return isinstance(error, spack.util.executable.ProcessError) and "spack.version.git_ref_lookup" in modules_of(error)


def modules_of(error):
    return [frame.f_globals.get("__name__") for frame, _ in traceback.walk_tb(error.__traceback__)]
