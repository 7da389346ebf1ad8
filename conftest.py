"""What all tests share."""

from hypothesis import settings

# A busy machine is no failure: what is slow is measured in benchmarks.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
