"""The virtual environments tracker (VET): VE records, their life, and the files that describe them."""
