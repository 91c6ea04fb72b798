"""Plain stream sockets: options and states, and listeners and connections without Twisted's transports."""
