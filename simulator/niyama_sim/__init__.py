"""The simulator: the discrete-event body of the policies that production runs.

It places with the router's placement objects and plans with the agent's planner; only time is not spent but counted.
"""
