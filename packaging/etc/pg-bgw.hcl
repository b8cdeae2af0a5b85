# /etc/pg-bgw/pg-bgw.hcl: settings of the supervisor; see pg-bgw.hcl(5).
#
# What is commented out shows the default. Workers are defined in workers.d/*.hcl.
# After a change: pg-bgwctl check && systemctl reload pg-bgw

# How many workers there can be at a time, static and dynamic together: 1 to 16384.
# max_worker_processes = 128

# How many dynamic workers with the flag class_parallel there can be: 0 to 1024.
# max_parallel_workers = 8

# Whether the workers of a segment are started again after one of them crashed.
# restart_after_crash = true

# The least that is logged: debug, info, notice, warning or error.
# log_level = "info"

# The shared memory of workers that name no other segment.
# segment "main" {
#   size       = "64MiB"
#   huge_pages = "off" # off, try or on
# }

# The PostgreSQL server whose start, recovery and end the workers follow. Without
# one the supervisor stands alone and every start_time has come.
# server "main" {
#   conninfo = "host=/run/postgresql dbname=postgres"
# }
