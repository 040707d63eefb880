"""Random histories of the product in virtual time: see docs/reliability.md, "Simulation"."""
