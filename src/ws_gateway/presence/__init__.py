"""Who is connected, told to all nodes through a store."""
