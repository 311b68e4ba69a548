"""`run`: the service."""

from pathlib import Path

import msgspec

from autoscaler.cli.arguments import Arguments
from autoscaler.deciding.decide import decide
from autoscaler.service.run import run as serve
from autoscaler.settings import read_settings


def run(arguments: Arguments) -> int:
    """Serve until TERM; with `--once` for one plan. Raises AutoscalerError."""
    settings = read_settings(Path(arguments.settings))
    if arguments.dry_run:
        policy = msgspec.structs.replace(settings.policy, dry_run=True)
        settings = msgspec.structs.replace(settings, policy=policy)
    return serve(settings, decide, once=arguments.once)
