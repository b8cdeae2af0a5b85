# Settings of pg-bgw, the supervisor of background workers; see pg-bgw.hcl(5).
#
# What is commented out is the default. Workers are defined in workers.d/*.hcl.
# After a change: pg-bgwctl check && systemctl reload pg-bgw

# Number of slots, for workers of files and of requests together: 1 to 16384.
#max_worker_processes = 128

# How many dynamic workers with the flag class_parallel may be registered at one
# time: 0 to 1024.
#max_parallel_workers = 8

# Limits on dynamic segments: how many, and how much memory, of the workers that
# one user has registered together; and how many one worker may have at one time.
#max_dynamic_segments = 704
#dynamic_memory_max = "1GiB"
#max_dynamic_segments_per_worker = 128

# Whether the workers of a segment start again after one of them crashed. If not,
# a crash ends the whole service.
#restart_after_crash = true

# The least important messages that are logged: "debug", "info", "notice",
# "warning" or "error".
#log_level = "info"

# How long workers outlast the beginning of a smart stop of their server, or smart
# shutdown of pg-bgw, where the server's other clients cannot be counted.
#smart_stop_grace = "30s"

# The starts that a server's coming up or promotion brings about are spread over
# this time at random: at most an hour.
#start_splay = 0

# Modules of PostgreSQL that are loaded once, in this order; the workers that they
# register run here. Where modules without a path are looked for ($libdir is where
# PostgreSQL has its own), for which major release they were built (0: the newest
# that pg-bgw has a library for), and the values of the parameters that they define.
#shared_preload_libraries = []
#dynamic_library_path = "$libdir"
#postgresql = 0
#settings = {}

# The shared memory of workers that name no other segment. Huge pages are used
# never ("off"), where they can be had ("try") or at any rate ("on").
#segment "main" {
#  size       = "64MiB"
#  huge_pages = "off"
#}

# The PostgreSQL server that the workers follow through start, recovery and end.
# Without one, as by default, every start_time has come when pg-bgw starts. One
# block as below is for a server on this machine:
#
#   server "main" {
#     conninfo = "host=/run/postgresql dbname=postgres"
#   }
