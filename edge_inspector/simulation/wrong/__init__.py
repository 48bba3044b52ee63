"""The campaign of wrong stations: each differs from the right one by one mistake, and must not be wrong in silence."""
