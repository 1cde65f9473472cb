"""The data of the runs in runs_0ecd29c: a dozen numbers each, so that a checkpoint stays small."""
