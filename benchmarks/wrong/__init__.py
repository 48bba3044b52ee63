"""The campaign of wrong stations. Each has one mistake, and every harmful mistake must be reported."""
