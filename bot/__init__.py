"""The process: settings, the job ledger, the fair queue, the worker thread, what a message shows."""
