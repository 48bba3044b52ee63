"""Settings of Hypothesis that some runs of the suite ask for by name."""

from hypothesis import Phase, settings

# `make mutation` wants to know that a mutant dies, not how small its death could be.
settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate))
