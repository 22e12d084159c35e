"""What `genray doctor` looks at: `probe` gathers facts on each machine, the other files judge them, a group each."""
