"""The service's log: one JSON object a line on standard error, with what each line is about as keys of its own."""

import datetime as dt
import json
import logging
import sys
from typing import TextIO

LOGGER = "spack_farm.autoscaler"
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_LONGEST = 4000


class JsonLines(logging.Formatter):
    """Writes a record as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = dt.datetime.fromtimestamp(record.created, tz=dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": at, "level": record.levelname.lower(), "message": record.getMessage()[:_LONGEST]}
        line |= {key: _plain(value) for key, value in vars(record).items() if key not in _OWN}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)[-_LONGEST:]
        return json.dumps(line, ensure_ascii=False)


def start_log(*, stream: TextIO | None = None, level: int = logging.INFO) -> logging.Logger:
    """Have our logger write lines; return it. The root logger is left as it is."""
    log = logging.getLogger(LOGGER)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    log.handlers[:] = [handler]
    log.setLevel(level)
    log.propagate = False
    return log


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)[:_LONGEST]
