#!/bin/sh
# The server of the picture, in a network namespace of its own: nginx, an application that leaks connections, and calls
# to a place where nobody answers. It returns when all listens, and prints the inode of its network namespace. Its one
# argument is the scene's directory.

set -e
dir=$1

# The other end is the world's, whose first process is number 1 here.
ip link add eth0 type veth peer name world netns 1
ip link set lo up
ip link set eth0 up
ip address add 192.0.2.10/24 dev eth0
ip address add 2001:db8::10/64 dev eth0 nodad
ip route add default dev eth0
ip -6 route add default dev eth0
# A neighbour that is not there: what is sent to it is lost on the way.
ip neighbour add 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent

truncate -s 64M "$dir/large"
truncate -s 2K "$dir/tick"
nginx -e "$dir/error.log" -p "$dir" -c "$dir/nginx.conf"
python3 "$dir/leak.py" >/dev/null
while sleep 1; do curl --silent --max-time 22 http://192.0.2.77:9200/ || true; done >/dev/null &
stat -Lc %i /proc/self/ns/net
