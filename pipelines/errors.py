"""Errors of pipelines. A message names what happened, the object, and what to do next. Only `__main__` prints them.

Each has its exit code: architecture.md, section 6.
"""


class PipelineError(Exception):
    """The base of all errors of this part."""

    code = 1


class BadRequest(PipelineError):  # noqa: N818  named for what it is, as in the other packages
    """What was asked for cannot work: an option, a file, an environment."""

    code = 2


class NotAccepted(PipelineError):  # noqa: N818  named for what it is, as in the other packages
    """A document is not what it claims to be, or breaks a rule that a check holds it to."""


class SpackUnusable(PipelineError):  # noqa: N818  named for what it is, as in the other packages
    """No Spack is found, or it does not run the generator."""

    code = 3


class FetchFailed(PipelineError):  # noqa: N818  named for what it is, as in the other packages
    """A server did not answer; another try may help."""

    code = 4


class BugInGenerator(PipelineError):  # noqa: N818  named for what it is, as in the other packages
    """The generator failed in a way that it does not know."""

    code = 70
