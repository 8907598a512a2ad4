"""Niyama's operator: turns NiyamaCluster resources into routers, replicas and all they need, and keeps them so."""
