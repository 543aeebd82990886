"""Storage by URI: local folders, S3 and Google Cloud Storage behind one interface."""
