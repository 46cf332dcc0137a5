"""Read nova.conf, its [cellmap] group and the -x arguments."""
