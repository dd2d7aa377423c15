"""The local resources tracker (LRT): monitoring, violations, carrying out actions, and the schedulers."""
