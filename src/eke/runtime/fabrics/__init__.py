"""Where processes live: `local` on this machine, `mock` in memory."""
