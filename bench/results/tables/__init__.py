"""Which clusters, under which traffic, the tables are of."""
