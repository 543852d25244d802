"""Who a client is and what it may hear. Knows tokens and keys, knows no sockets."""
