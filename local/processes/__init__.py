"""Child processes, their environments and the servers among them."""
