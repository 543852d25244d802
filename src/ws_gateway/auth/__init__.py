"""Who a client is and what it may hear. Knows tokens and where keys are, knows no clients."""
