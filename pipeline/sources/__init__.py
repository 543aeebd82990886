"""Where tables come from: folders, object storage, BigQuery, Bigtable and Spanner."""
