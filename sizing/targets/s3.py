"""The size table in S3: replaced only if the object is still the one that was read."""

from sizing.errors import BadRequest, Overtaken, SourceError
from sizing.size_table import pack
from sizing.sources.s3 import FAULTS, bucket_and_key, error_code, make_client, one_line

_ABSENT = {"404", "NoSuchKey"}
_CHANGED = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}


class Object:
    """An object; its content is compressed where its key ends with `.gz`."""

    most_bytes: int | None = None

    def __init__(self, url: str, *, endpoint_url: str | None = None) -> None:
        """Raises BadRequest for what is no object."""
        self._bucket, self._key = bucket_and_key(url)
        if not self._key:
            raise BadRequest(f"{url}: give s3://BUCKET/KEY")
        self.name = url
        self._client = make_client(endpoint_url)
        self._condition: dict[str, str] = {"IfNoneMatch": "*"}

    def read(self) -> bytes | None:
        """Return the content, and remember what may be replaced. Raises SourceError."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key)
            content: bytes = answer["Body"].read()
        except FAULTS as error:
            if error_code(error) in _ABSENT:
                return None
            raise SourceError(f"{self.name} can't be read: {one_line(error)}") from error
        if "ETag" not in answer:
            raise SourceError(f"{self.name} can't be replaced safely: this server sends no ETag")
        self._condition = {"IfMatch": answer["ETag"]}
        return content

    def write(self, content: bytes) -> None:
        """Replace the content. Raises Overtaken, SourceError."""
        body = pack(content) if self._key.endswith(".gz") else content
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._key, Body=body, **self._condition)
        except FAULTS as error:
            if error_code(error) in _CHANGED:
                raise Overtaken(f"{self.name} was replaced by another writer meanwhile: run this again") from error
            raise SourceError(f"{self.name} can't be written: {one_line(error)}") from error
