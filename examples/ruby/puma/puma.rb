# Single mode: one process with threads. RPM_INSTANCES makes the processes.
workers 0
threads 0, 5
port 9292
