"""Results on their way to the plant's database: read from the station's files, copied into PostgreSQL."""
