"""Under which names CDash keeps the builds: what a request says of it, and what its documents are written with."""

import msgspec


class Reporting(msgspec.Struct, frozen=True, kw_only=True):
    """Under which names CDash keeps the builds."""

    site: str
    """The class of machine, stable over runs."""
    group: str = "Experimental"
    """A build group of the project."""
