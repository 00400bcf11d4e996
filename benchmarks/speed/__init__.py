"""Speed against the rivals, interleaved in one process; medians and ratios."""
