"""All of it in one call: the analysis of one metric, and the scorecard of many."""
