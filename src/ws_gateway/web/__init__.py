"""The HTTP side: a plain twisted.web resource tree, one resource a file."""
