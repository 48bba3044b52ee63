"""The judgement: pure functions and state machines. It has no threads, no clock and no I/O."""
