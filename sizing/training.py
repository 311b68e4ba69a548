"""Which builds of the history sizes are computed from. Reads the history; decides by `Build.trains`."""

from sizing.builds import Build
from sizing.history.history import History
from sizing.observations import Observation, PolicySettings

_DAY_SECONDS = 86_400.0
_OLDEST_WINDOWS = 8
"""The newest builds by count may be older than the window in days; what is older than so many windows counts for nothing."""


def training(history: History, *, now: float, settings: PolicySettings) -> list[Observation]:
    """Return the observations of builds that train and have ended by `now`, in the order in which they ended.

    The agent and the driver both describe a build: the driver's word counts only where the agent's is missing.
    """
    since = now - settings.window_days * _OLDEST_WINDOWS * _DAY_SECONDS
    builds = [build for build in history.builds(since=since) if build.trains and build.ended <= now]
    by_the_agent = {job for build in builds if not _is_the_driver_s(build) and (job := _job(build))}
    return [build.observation() for build in builds if not (_is_the_driver_s(build) and _job(build) in by_the_agent)]


def _is_the_driver_s(build: Build) -> bool:
    return build.outcome.startswith("script_")


def _job(build: Build) -> tuple[str, str] | None:
    return (build.project, build.job_id) if build.job_id else None
