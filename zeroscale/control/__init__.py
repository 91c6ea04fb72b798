"""The service's side of control: the admin socket, metrics."""
