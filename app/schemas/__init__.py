"""Wire shapes: what a client sends, what the service answers, what the configuration file holds. No behaviour."""
