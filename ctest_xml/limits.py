"""What CDash's columns hold: one table for `write`, which cuts, and `check`, which reports.

Obeys: CDash 5.3, database/pgsql-schema.sql and migrations. PostgreSQL does not cut: it fails, and CDash loses the whole
file.
"""

SMALLINT = 32_767
"""Errors, warnings, tests, configure errors of a build."""
INTEGER = 2**31 - 1
UNSIGNED = 2**32 - 1
STRING = 255
"""BuildName, BuildStamp, Generator, Site Name, OS and compiler, labels, note and upload names, Path,
ExitCondition; in characters."""
LONG_STRING = 512
"""SourceFile, OutputFile, WorkingDirectory, TargetName of failures; type, name, value of a command's measurements."""
MEASUREMENT_TYPE = 70
LANGUAGE = 64
REVISION = 60
CHANGE_ID = 40
ARGUMENT = 255
UPDATE_TYPE = 4
UNSPLIT_BYTES = 300
"""CDash reads a shorter text in one piece; of a longer one, a field set with `=` may keep the last piece only."""
FRAGMENT_BYTES = 255
"""Ours: the longest text that we write into such a field."""
EXECUTION_SECONDS = 9_999_999_999.99
"""numeric(12,2)"""
HEAD_BYTES = 8192
"""CDash looks for the kind of a document in its first read, of this size."""
ATTRIBUTE_BYTES = 10_000_000
"""CDash stops parsing at a longer attribute or CDATA section."""
COMMAND = 100_000
"""Ours: characters of a timeline command, well below the attribute's limit."""
NOTE_BYTES = 2_000_000
"""Ours: a browser shows a longer note slowly. Head and tail are sent; an upload holds the whole."""
EVENTS = 50
"""Ours, and ctest's: CDash takes minutes for a page of thousands of events."""
