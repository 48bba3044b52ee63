"""The record of a shift: everything that decided its verdicts, so that they can be judged again."""
