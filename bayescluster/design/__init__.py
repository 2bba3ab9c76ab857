"""Before the experiment: expected exposure, grouping of clusters, calibration."""
