"""Moving bytes between two connected sockets, once nobody needs to understand them any more."""
