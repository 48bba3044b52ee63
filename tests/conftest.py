"""Read before every test module, and so before any of them can import onnxruntime: the package silences it."""

from hypothesis import Phase, settings

import edge_inspector  # noqa: F401 -- for what it does when it is imported

# `make mutation` wants to know that a mutant dies, not how small its death could be.
settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate))
