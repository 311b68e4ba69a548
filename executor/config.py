"""The verb `config`: what the Runner needs to know of this driver. Calls no API and needs no job."""

import msgspec

from executor.settings import Settings
from executor.version import VERSION


def config(settings: Settings) -> str:
    """Return the Runner's answer as JSON."""
    answer = {
        "builds_dir": settings.builds_dir,
        "cache_dir": settings.cache_dir,
        "builds_dir_is_shared": False,
        "driver": {"name": "spack-farm", "version": VERSION},
    }
    return msgspec.json.encode(answer).decode()  # the json module would cost this verb 2 % of its time
