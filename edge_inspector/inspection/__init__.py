"""The judgement: pure functions and state machines; no thread, no clock, no I/O."""
