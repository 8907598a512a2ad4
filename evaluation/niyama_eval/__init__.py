"""The shared floor of bench, demo and simulator: what is asked of a cluster, and what came of it.

Traces and shipped figures become workloads; the outcomes of a run become results, tables, plots and a report. The
same code judges real servers and simulated ones, so their figures can be laid side by side.
"""
