"""Side-by-side runs of bayescluster against its peers; see README.md."""
