"""The agent of one replica: runs an engine by the planner's plans and speaks `niyama.v1.Replica`.

It owns tokens, time and the network; what runs next is decided by `niyama_core`, and which replica a request goes to
by the router.
"""
