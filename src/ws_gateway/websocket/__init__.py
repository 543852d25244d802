"""The client side: one port, admission, frames. The only importer of Autobahn."""
