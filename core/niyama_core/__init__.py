"""The foundation of Niyama: decisions without deeds.

Everything here is pure: standard library only, no clock, randomness, I/O or logging. `now` is a parameter
everywhere, in seconds on one process's monotonic clock. The same objects decide in production and in simulation.
"""
