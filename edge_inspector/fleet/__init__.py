"""One page of all stations of a plant, sorted by who needs help. It watches stations and never commands one."""
