"""Measurements and campaigns. They run from a checkout, and no wheel contains them."""
