"""The outputs of an egress: what is asked for, and for each kind how it is named, stored and told of."""
