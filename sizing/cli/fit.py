"""`fit`: the history into a size table."""

import datetime as dt
import math
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from sizing.cli.arguments import Arguments, history, policy_settings
from sizing.cli.written import policy_named
from sizing.errors import BadRequest, HistoryError, NotAccepted, TooLarge
from sizing.fit import Fit, fit, least_missed, objections, without
from sizing.history.history import open_history
from sizing.observations import Prior
from sizing.prior import read_priors
from sizing.size_table import LARGEST, Row, decode, encode, pack
from sizing.targets.file import File
from sizing.targets.target import Target
from sizing.training import training

_MOST_NAMED = 20


def run(arguments: Arguments) -> int:
    """Write the table, unless it changes too much. Raises SizingError."""
    policy = policy_named(arguments.policy)
    now, settings = moment(arguments.now), policy_settings(arguments)
    priors = priors_in(arguments.prior)
    target = _target(arguments)
    old, fault = _old(target)
    with open_history(history(arguments)) as opened:
        observations = training(opened, now=now, settings=settings)
    new = fit(observations, priors, policy=policy, now=now, settings=settings)
    if not new.rows:
        raise HistoryError("no sizes: the history has no trusted builds, and no --prior is given; see sizing ingest")
    new, left_out = fitting(new, target, lambda rows: encode(rows, policy=policy, now=now, version=arguments.format))
    against = [fault] if fault else objections(old, new)
    if against and not arguments.accept:
        named = "".join(f"\n  {line}" for line in against[:_MOST_NAMED])
        more = f"\n  … and {len(against) - _MOST_NAMED} more" if len(against) > _MOST_NAMED else ""
        raise NotAccepted(f"{target.name} is left as it is; --accept writes it nevertheless:{named}{more}")
    content = encode(new.rows, policy=policy, now=now, version=arguments.format)
    if len(content) > LARGEST:
        raise TooLarge(f"{target.name} is left as it is: no reader takes a table of {len(content) >> 20} MiB")
    target.write(content)
    sys.stdout.write(f"{target.name}: {len(new.rows):,} sizes from {len(observations):,} builds ({policy})\n")
    if left_out:
        sys.stderr.write(
            f"spack-farm sizing fit: {left_out:,} rows of exact hashes are left out: {_limit(target)}; their builds get the"
            " size of the next key; see docs/sizing.md\n"
        )
    return 0


def _limit(target: Target) -> str:
    if target.most_bytes is None:
        return f"readers take at most {LARGEST >> 20} MiB"
    return "a ConfigMap does not take them, and --output writes all rows to a volume or to s3://"


def moment(text: str | None) -> float:
    """Return the time that sizes are computed for. Raises BadRequest."""
    if text is None:
        return time.time()
    try:
        parsed = dt.datetime.fromisoformat(text)
        # in UTC: a time at an end of the calendar may have none there
        return (parsed.astimezone(dt.UTC) if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"--now {text}: give a time such as 2026-11-30T03:00:00Z") from error


def priors_in(path: str | None) -> dict[str, Prior]:
    """Return what was asked for by hand; nothing without a file. Raises BadRequest."""
    if path is None:
        return {}
    try:
        return read_priors(Path(path).read_text("utf-8"), name=path)
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"--prior {path}: can't be read: {error}") from error


def fitting(fitted: Fit, target: Target, encoded: Callable[[Mapping[str, Row]], bytes]) -> tuple[Fit, int]:
    """Return the fit without as many rows of exact hashes as must go for the target to take it, and their number.

    If it is too large without any, all are left out; the target then rejects it.
    """
    most, order = target.most_bytes, least_missed(fitted)

    def share(left_out: int) -> float:
        """Return how much it is of what the target and the table's readers take."""
        content = encoded(without(fitted, order[:left_out]).rows)
        return max(len(content) / LARGEST, len(pack(content)) / most if most else 0.0)

    if not order or (whole := share(0)) <= 1:
        return fitted, 0
    least = share(len(order))
    # hashes do not compress: each row adds about as much
    left_out = min(len(order), math.ceil((whole - 1) / (whole - least) * len(order)))
    while left_out < len(order) and share(left_out) > 1:
        left_out = min(len(order), left_out + max(1, len(order) // 100))
    return without(fitted, order[:left_out]), left_out


def _target(arguments: Arguments) -> Target:
    if arguments.config_map:
        from sizing.targets.config_map import ConfigMap  # noqa: PLC0415  kubernetes, only for those who write there

        return ConfigMap(arguments.config_map)
    place = arguments.output or ""
    if place.startswith("s3:"):
        from sizing.targets.s3 import Object  # noqa: PLC0415  boto3, only for those who write to S3

        return Object(place, endpoint_url=arguments.endpoint_url)
    if "://" in place or _is_folder(Path(place)) or not _is_folder(Path(place).parent):
        raise BadRequest(f"--output {place}: give a file in a folder that exists, or s3://BUCKET/KEY")
    return File(Path(place))


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  a name that is too long, or not to be seen, is an error to pathlib


def _old(target: Target) -> tuple[dict[str, Row], str]:
    """Return the rows that are replaced, or why they can't be read."""
    content = target.read()
    if content is None:
        return {}, ""
    try:
        return decode(content), ""
    except ValueError as error:
        return {}, f"what is there is not a size table: {str(error)[:200]}"
