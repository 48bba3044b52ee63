"""From a training run to a model folder."""
