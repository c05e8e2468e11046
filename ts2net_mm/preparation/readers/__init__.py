"""The official files of each data set, read into `Annotations`: one module per data set."""
