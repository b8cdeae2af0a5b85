#!/bin/sh
# Hello is a background worker in shell. It needs nothing but its environment:
# one that uses none of the descriptors is never attached, and its end is
# nobody else's affair.
#
#	worker "hello" {
#	  command      = ["/usr/lib/pg-bgw/workers/hello.sh"]
#	  flags        = ["shmem_access"]
#	  restart_time = "10s"
#	}
trap 'exit 1' TERM # 1: to be started again after restart_time
while :; do
	echo "hello from $PGBGW_NAME, start ${PGBGW_START##*.}"
	sleep 10 &
	wait $!
done
