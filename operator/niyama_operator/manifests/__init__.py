"""Builders of the objects that a cluster is made of: pure functions from a declared cluster to manifests."""
