"""A client's connection, from accept to hand-over."""
