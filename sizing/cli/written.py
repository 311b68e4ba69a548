"""What verbs share that read a table or name a policy."""

import hashlib
from pathlib import Path

from sizing.errors import BadRequest
from sizing.policies.table import POLICIES
from sizing.size_table import Row, decode


def policy_named(name: str) -> str:
    """Return the name of a policy that there is. Raises BadRequest."""
    if name not in POLICIES:
        raise BadRequest(f"there is no policy {name!r}; there are: {', '.join(sorted(POLICIES))}")
    return name


def table_in(path: str) -> tuple[dict[str, Row], str]:
    """Return a table's rows and its digest. Raises BadRequest."""
    try:
        content = Path(path).read_bytes()
        return decode(content), hashlib.sha256(content).hexdigest()
    except OSError as error:
        raise BadRequest(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise BadRequest(f"{path}: not a size table: {str(error)[:200]}") from error
