"""Start servers, proxies, clusters and clouds, and stop a run at a named moment."""
