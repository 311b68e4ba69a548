"""The names under which CDash keeps the builds, as the user gives them."""

import msgspec


class CDashNames(msgspec.Struct, frozen=True, kw_only=True):
    """Site and group of the builds on CDash."""

    site: str
    """The class of machine, stable over runs."""
    group: str = "Experimental"
    """A build group of the project."""
