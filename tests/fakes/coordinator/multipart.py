"""The one file of a multipart upload, as `gitlab-runner artifacts-uploader` sends it. Source: RFC 7578."""

import email.message
import email.policy


def file_of(content_type: str, body: bytes) -> tuple[str, bytes]:
    """Return name and content of the part called `file`. Raises ValueError, saying what is missing."""
    header = email.message.EmailMessage(policy=email.policy.HTTP)
    header["Content-Type"] = content_type
    boundary = header.get_boundary()
    if not boundary:
        raise ValueError(f"no multipart body: {content_type!r}")
    mark = b"--" + boundary.encode()
    for part in (b"\r\n" + body).split(b"\r\n" + mark)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-disposition":
                field = email.message.EmailMessage(policy=email.policy.HTTP)
                field["Content-Disposition"] = value.decode().strip()
                parameters = field["Content-Disposition"].params
                if parameters.get("name") == "file":
                    return str(parameters.get("filename", "")), content
    raise ValueError("the upload has no part called `file`")
