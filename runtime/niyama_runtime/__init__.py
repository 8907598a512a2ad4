"""The shared floor: what every server of Niyama needs, one idea a module.

Router, agent, operator and client build on these modules and never import one another. Nothing here decides
anything about requests; decisions are `niyama_core`'s.
"""
