#!/bin/sh
# The world around the server of the picture: the first process of a process-id namespace, in a network namespace of
# its own. Its one argument is the scene's directory.
#
# It prints the inode of the server's network namespace; a line on stdin begins the traffic. However stdin ends, all of
# the scene ends: the terminal is closed, the directory removed, and with this process go all that it started.

PATH=$PATH:/usr/sbin:/sbin
dir=$1
trap '' INT TERM HUP

end() {
    tmux -S "$dir/tmux" kill-server 2>/dev/null
    rm -rf "$dir"
    exit
}

# request FROM URL OPTION..: one request from one of the world's addresses.
request() {
    from=$1 url=$2
    shift 2
    curl --silent --output /dev/null --interface "$from" "$@" "$url"
}

# The server returns when all of it listens.
inode=$(timeout 30 unshare --net sh "$dir/server.sh" "$dir") || end
ip link set lo up
ip link set world up
for address in 198.51.100.7 198.51.100.23 198.51.100.41 203.0.113.5 203.0.113.88; do
    ip address add $address/32 dev world
done
ip address add 2001:db8:7::23/64 dev world nodad
ip route add 192.0.2.10/32 dev world
ip route add 2001:db8::10/128 dev world
echo "$inode"

read -r _ || end

# Downloads that take longer than the picture, and small requests one after the other on one connection.
request 198.51.100.7 http://192.0.2.10/large &
request 2001:db8:7::23 'http://[2001:db8::10]/large' &
while sleep 1; do request 198.51.100.41 'http://192.0.2.10/tick?[1-20]'; done &

# Steady requests, a new connection for each; now and then many at once.
while sleep 0.4; do request 198.51.100.23 http://192.0.2.10/; done &
while :; do
    for size in 2 5 1 7 3 1 4; do
        for _ in $(seq $size); do request 203.0.113.88 http://192.0.2.10/; done
        sleep 1.7
    done
done &

# A client that lets the server close first, and one that does not close at all.
while sleep 14; do request 203.0.113.5 http://192.0.2.10/ --header 'Connection: close'; done &
(sleep 25; exec python3 "$dir/idle.py") &

# Clients that lose patience and go. The application does not notice.
for address in 198.51.100.23 203.0.113.88 198.51.100.7 198.51.100.23 203.0.113.88 203.0.113.5 \
    198.51.100.7 198.51.100.41 203.0.113.5 198.51.100.23 203.0.113.88 198.51.100.7; do
    request $address http://192.0.2.10:8000/report --max-time 1.5
    sleep 4
done &

read -r _
end
