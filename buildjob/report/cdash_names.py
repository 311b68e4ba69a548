"""The names under which CDash keeps the builds, as the user gives them."""

import msgspec


class CDashNames(msgspec.Struct, frozen=True, kw_only=True):
    """Site and group of the builds on CDash."""

    site: str
    """The class of machine, stable over runs."""
    group: str = "Experimental"
    """A build group of the project."""
    build_name: str = ""
    """Empty for one that stays equal from run to run."""
    build_stamp: str = ""
    """Empty for one from the run's begin and the group."""
