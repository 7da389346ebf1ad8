"""The live state of deployments that processes share: health, and what may still be spent."""
