"""Plain stream sockets: their options and states."""
