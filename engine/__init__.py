"""The method: text and pictures in, pictures out. Knows torch; knows nothing of Discord, jobs or queues."""

import os

# OpenMP's threads wait for each other by spinning. Where another program has a core too, each then waits for a thread
# that does not run: a picture of 5 s took 57. Sleeping costs nothing that can be measured (bench/RESULTS.md). libgomp
# reads this when torch loads it, so it is said before anything here imports torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
