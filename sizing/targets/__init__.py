"""Places that the size table is written to, each whole or not at all."""
