"""What makes one assistant's sensor: items with a known truth, and what is fitted on them."""
