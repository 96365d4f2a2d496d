"""How the embedded models are made: `make nano` runs `python -m experiments.nano.build`, stage by stage."""
