"""Programs: demo, benchmark, and the generators of documentation. Run them from a checkout as `python -m experiments.NAME`."""
