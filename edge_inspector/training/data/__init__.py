"""The data that nets are trained and judged on."""
