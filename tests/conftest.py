"""Read before every test module, and so before any of them can import onnxruntime: the package silences it."""

import edge_inspector  # noqa: F401 -- for what it does when it is imported
