"""A model from good parts alone: a frozen net that learned ImageNet, a memory of good surfaces, and later a head."""
