"""Errors of pipelines. A message names what happened, the object, and what to do next. Only `__main__` prints them."""


class PipelineError(Exception):
    """The base of all errors of this part."""


class BadRequest(PipelineError):  # noqa: N818  named for what it is, as in the other packages
    """What was asked for cannot work: an option, a file, an environment."""


class NotAccepted(PipelineError):  # noqa: N818  named for what it is, as in the other packages
    """A document is not what it claims to be, or breaks a rule that a check holds it to."""
