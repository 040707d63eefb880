"""What users and LiveKit ask of the product, and the ports it needs for that."""
