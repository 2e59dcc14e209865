"""Parts of the judge: its reply, and the quotations in it."""
