"""Places that telemetry documents are read from: files, folders and S3."""
