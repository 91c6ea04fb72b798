"""Notifications: what happened to a server is sent to webhooks and commands, from threads of their own."""
