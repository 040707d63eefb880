"""How fast the product is, beside handlers that do nothing but the same query or call: `make bench`."""
