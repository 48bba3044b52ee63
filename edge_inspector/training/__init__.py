"""From labelled images to a model folder. Needs the extra `training`. The running daemon imports nothing of it."""
