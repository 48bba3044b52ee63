"""Nets and their training. All of it needs PyTorch."""
