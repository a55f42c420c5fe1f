"""What all packages use and no mathematics needs: time, executors, options, messages."""
