"""Publications from brokers to clients."""
