# PostgreSQL's test_shm_mq in shape, in three languages: see main.go. It runs
# once; "pg-bgwctl start ring" runs it again.
worker "ring" {
  command = [
    "/usr/lib/pg-bgw/workers/ring",
    "/usr/lib/pg-bgw/workers/ring-member",    # Go
    "/usr/lib/pg-bgw/workers/ring-member-c",  # C
    "/usr/lib/pg-bgw/workers/ring-member.py", # Python
  ]
  flags        = ["shmem_access"]
  restart_time = "never"
}
