"""Errors of the autoscaler. A message names what happened, the object, and what to do next. Only `__main__` prints them."""


class AutoscalerError(Exception):
    """The base of all errors of this part."""


class BadRequest(AutoscalerError):  # noqa: N818  named for what it is, as in the other packages
    """What was asked for cannot work: an option, a file."""


class SettingsError(BadRequest):
    """The settings are wrong; the message names every fault with its key."""


class ClusterError(AutoscalerError):
    """The API server rejects a request, or its answer cannot be read."""


class ClusterUnavailable(ClusterError):  # noqa: N818  named for what it is, as in the other packages
    """The API server does not answer, or not now."""


class NotFound(ClusterError):  # noqa: N818  named for what it is, as in the other packages
    """There is no such object."""


class Conflict(ClusterError):  # noqa: N818  named for what it is, as in the other packages
    """The object is there already, or has changed meanwhile."""


class Expired(ClusterError):  # noqa: N818  named for what it is, as in the other packages
    """The server no longer has the state that a list or a watch goes on from."""


class NotPermitted(ClusterError):  # noqa: N818  named for what it is, as in the other packages
    """Our credentials do not allow it."""


class NotLeader(AutoscalerError):  # noqa: N818  named for what it is, as in the other packages
    """Another controller has the lease, or ours was not renewed in time: nothing may be changed."""


class CloudError(AutoscalerError):
    """The cloud rejects a request, or does not answer."""
