"""The street inwards: the pipeline and its sinks."""
