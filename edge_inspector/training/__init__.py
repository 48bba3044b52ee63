"""From labelled images to a model folder; needs the extra `training`. Nothing the daemon runs imports it."""
