#!/bin/sh
# The world around the server of the picture, as the first process of a process-id namespace and in a network
# namespace of its own. Its one argument is the directory of the scene.
#
# Each step begins with a line on stdin; however stdin ends, everything ends with this process.

dir=$1
trap '' INT TERM HUP

end() {
    tmux -S "$dir/tmux" kill-server 2>/dev/null
    rm -rf "$dir"
    exit
}

# The server, in the namespace that is watched. It returns when all listens.
unshare --net sh "$dir/server.sh" "$dir" </dev/null || end

ip link set lo up
ip link set world up
for client in 198.51.100.7 198.51.100.23 198.51.100.41 203.0.113.5 203.0.113.88; do
    ip address add $client/32 dev world
done
ip address add 2001:db8:7::23/64 dev world nodad
ip route add 192.0.2.10/32 dev world
ip route add 2001:db8::10/128 dev world
echo ready

# request ADDRESS URL MORE..: one request from one of the world's addresses.
request() {
    from=$1 url=$2
    shift 2
    curl --silent --output /dev/null --interface "$from" "$@" "$url"
}

read -r _ || end

# Downloads that take longer than the picture.
request 198.51.100.7 http://192.0.2.10/large &
request 203.0.113.5 http://192.0.2.10/large &
request 2001:db8:7::23 'http://[2001:db8::10]/large' &

# Requests one after the other on one connection, and a new connection for each.
(while :; do request 198.51.100.41 'http://192.0.2.10/[1-40]' --rate 2/s; done) &
(while :; do request 198.51.100.23 http://192.0.2.10/; sleep 0.4; done) &
(while :; do for _ in 1 2 3 4 5 6; do request 203.0.113.88 http://192.0.2.10/; done; sleep 3; done) &

# Clients that let the server close first: its TIME_WAIT.
(while :; do sleep 11; request 203.0.113.5 http://192.0.2.10/ --header 'Connection: close'; done) &

# Clients that go away; the application does not notice.
(for address in 198.51.100.23 203.0.113.88 198.51.100.7 198.51.100.23 203.0.113.88 203.0.113.5 \
    198.51.100.7 198.51.100.41 203.0.113.5 198.51.100.23 203.0.113.88 198.51.100.7; do
    request $address http://192.0.2.10:8000/report --max-time 1
    sleep 3
done) &

read -r _
end
