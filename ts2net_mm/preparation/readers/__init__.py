"""One reader a data set: its official files -> `Annotations`."""
