"""The leased process that turns an alarm into a confirm run, and its end into gate decisions."""
