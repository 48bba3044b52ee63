"""A model from good parts alone: a frozen net that learned ImageNet, a memory of good surfaces, and a head once defects are known."""
