"""What all tests share: property tests draw the same examples on every run, so that no failure is a matter of luck."""

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")
