"""Threads and the operating system; nothing about vision."""
