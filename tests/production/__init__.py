"""The production stack without a container engine: files are read, judged, and what they say is carried out.

`PRODUCTION_FULL=1` asks for what takes minutes as well: clean Debian systems in place of a root made of this
machine's files.
"""
