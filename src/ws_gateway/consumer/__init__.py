"""`ws-gateway consume`: events from a broker to a function of the application."""
