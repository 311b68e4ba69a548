"""Runs inside Spack's own Python, `spack python generate.py`: a request on standard input, the pipeline on standard output.

Both are JSON; docs/pipelines.md describes them. What Spack itself prints goes to standard error. The same file is what
`spack-farm pipelines generate` calls and what a worker of `spack-farm delegate` runs.
Exit codes: 0 done · 1 the pipeline would build what is known to be broken · 2 the request can't work, or Spack rejects it ·
3 Spack can't be used · 4 a server did not answer · 70 a bug. The reason also goes to standard error, without `--quiet`.
A worker of `spack-farm delegate` gets 75 instead of 4: the answer is not kept.
"""

import gc
import json
import os
import sys
import tempfile
import traceback

# appended: nothing of ours is to hide a module of Spack or Python
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
try:
    import spack.error
    import spack.util.web
    from inside import request
    from inside.generation import Generation
    from inside.gitlab import names, yaml_text
    from inside.specs import BadRequest, Broken, FetchFailed
except ImportError as missing:
    sys.stderr.write(f"generate.py: run it with 'spack python' of Spack 1.1 or newer: {missing}\n")
    sys.exit(3)

BROKEN, BAD_REQUEST, FETCH_FAILED, BUG = 1, 2, 4, 70
TRY_AGAIN = 75
"""For a worker of `spack-farm delegate`, instead of 4: the gateway keeps no such answer."""


def main():
    gc.disable()  # what a generation makes it keeps to its end; looking for garbage takes a tenth of the time
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as result:
        os.dup2(2, 1)
        answer, code = answered(sys.stdin.buffer)
        if code and "--quiet" not in sys.argv:
            sys.stderr.write("{}\n".format(answer["error"]))
        if code == FETCH_FAILED and "DELEGATE_REQUEST_ID" in os.environ:
            code = TRY_AGAIN
        json.dump(answer, result, sort_keys=True)
        result.write("\n")
    return code


def answered(stream):
    """The answer to a request, and the exit code."""
    asked = None
    try:
        asked = request.read(stream.read(request.LARGEST_BYTES + 1))
        with tempfile.TemporaryDirectory(prefix="spack-farm-pipelines-") as scratch:
            return Generation(asked, scratch).answer(), 0
    except Exception as error:  # every kind has its code
        code, text = code_of(error), said(error)
        if code == BUG:
            traceback.print_exc()
    if asked is not None and asked.on_failure == "pipeline" and code != BUG:
        return failing_pipeline(asked, text), 0
    return {"version": 1, "error": text, "code": code}, code


def code_of(error):
    if isinstance(error, Broken):
        return BROKEN
    if isinstance(error, (FetchFailed, spack.error.FetchError, spack.util.web.SpackWebError)):
        return FETCH_FAILED
    if isinstance(error, (BadRequest, spack.error.SpackError, spack.error.SpecSyntaxError)):
        return BAD_REQUEST
    return BUG


def said(error):
    text = str(error).strip() or type(error).__name__
    if isinstance(error, (BadRequest, Broken, FetchFailed)):
        return text
    return f"a bug in spack-farm: {type(error).__name__}: {text}" if code_of(error) == BUG else f"Spack says: {text}"


def failing_pipeline(asked, text):
    """A pipeline of one job that fails with the reason, so that a cell of a matrix fails its own child pipeline."""
    shown = names.plain(text.replace("'", '"'))[:2000]
    job = {"script": [f"printf '%s\\n' '{shown}' >&2", "exit 1"], "retry": 0, "variables": {"GIT_STRATEGY": "none"}}
    content = {"workflow": {"rules": [{"when": "always"}]}, "spack-rejects-this-stack": job}
    return {
        "version": 1,
        "files": {"{}/pipeline.yml".format(asked.output_folder.rstrip("/")): yaml_text.document(content)},
        "stack": asked.stack,
        "pipelines": 1,
        "warnings": [names.plain(text)],
    }


if __name__ == "__main__":
    # everything is written and nothing is left to be closed: taking Spack's modules apart takes longer than the work
    code = main()
    sys.stderr.flush()
    os._exit(code)
