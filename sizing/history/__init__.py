"""The history of measured builds, in SQLite or PostgreSQL; rows become values at its edge."""
