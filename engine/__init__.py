"""The method: text and pictures in, pictures out. Knows torch; knows nothing of Discord, jobs or queues."""
