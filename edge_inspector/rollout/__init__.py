"""The command's side of a roll-out: the plan, its state, what comes next, and how stations are asked."""
