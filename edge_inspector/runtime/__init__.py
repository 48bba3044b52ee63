"""Threads and the operating system, without anything about vision."""
