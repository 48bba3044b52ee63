"""Nets and how they learn; all of it needs PyTorch."""
