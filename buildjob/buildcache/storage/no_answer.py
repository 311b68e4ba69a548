"""Why a server did not answer, in words, and whether asking again can help.

Pure. Looks at the classes of the errors, down to that of the operating system or of TLS, never at their text: that of a
library may hold a whole URL. Source: getaddrinfo(3), Python's `ssl` and `socket`.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator

import msgspec

_UNKNOWN_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_ENDS_EARLY = ("EOF", "SYSCALL")
"""Of TLS: the server, or something between, has ended the connection."""


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The reason."""

    text: str
    is_final: bool = False
    """No later attempt can succeed."""


def why(error: BaseException) -> Why:
    """Return why there was no answer, from the error that a library raised and from those that caused it."""
    chain = list(_chain(error))
    for each in chain:
        if found := _of_one(each):
            is_proxys = any("Proxy" in type(one).__name__ for one in chain)
            return msgspec.structs.replace(found, text=f"the proxy: {found.text}") if is_proxys else found
    if any("Timeout" in type(each).__name__ for each in chain):
        return Why(text="it did not answer in time")
    return Why(text="the connection failed")


def _of_one(error: BaseException) -> Why | None:
    """Return what one error says, None if it says nothing: most only wrap another one."""
    match error:
        case ssl.SSLCertVerificationError():
            return Why(text=f"its certificate is not trusted ({error.verify_message}); --ca-file names more", is_final=True)
        case ssl.SSLError() if any(each in str(error.reason) for each in _ENDS_EARLY):
            return Why(text="it ended the connection")
        case ssl.SSLError():
            reason = (error.reason or "").replace("_", " ").lower()
            return Why(text=f"it does not speak TLS as we do ({reason}); is its address http://?", is_final=True)
        case socket.gaierror():
            is_final = error.errno in _UNKNOWN_NAME
            return Why(text="its name is not known" if is_final else "its name could not be looked up", is_final=is_final)
        case ConnectionRefusedError():
            return Why(text="it refused the connection")
        case TimeoutError():
            return Why(text="it did not answer in time")
        case ConnectionError() | http.client.HTTPException():
            return Why(text="it ended the connection")
        case OSError() if error.errno and error.strerror:
            return Why(text=error.strerror.lower())
        case _:
            return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those behind it: the innermost cause first."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and all(each is not one for one in seen):
            seen.append(each)
            kwargs = getattr(each, "kwargs", {})  # botocore's
            wrapped = kwargs.get("error") if isinstance(kwargs, dict) else None
            waiting += [each.__context__, each.__cause__, getattr(each, "reason", None), wrapped, *each.args]
    return reversed(seen)
