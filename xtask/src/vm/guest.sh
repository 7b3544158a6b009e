#!/bin/busybox sh
# The first process of the virtual machine: sets up what a system has, runs what it is told to, and turns the machine
# off. The kernel's messages go to the first serial line, what is run and its outcome to the second.


export PATH=/bin

# One test in a process of its own, so that one that dies takes no other with it. Its verdict is one line.
if [ "$1" = one ]; then
    . /environment
    output=$(mktemp)
    start=$(cut -d. -f1 /proc/uptime)
    timeout -s KILL "$TEST_LIMIT" /programs/test --exact "$2" --nocapture >"$output" 2>&1
    status=$?
    took=$(($(cut -d. -f1 /proc/uptime) - start))
    # One at a time writes; Debian's busybox has no flock.
    until mkdir /tmp/lock 2>/dev/null; do
        sleep 0.1
    done
    {
        [ $status = 0 ] || grep -v "^$" "$output" | sed "s|^|$2: |"
        echo "@verdict $2 $status $took"
    } >/dev/ttyS1
    rmdir /tmp/lock
    rm "$output"
    exit
fi

/bin/busybox mkdir -p /proc /sys /dev /tmp /run/netns
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
for module in /modules/*.ko; do
    insmod "$module"
done
. /environment

if [ -s /command ]; then
    sh /command </dev/null >/dev/ttyS1 2>&1
    echo "@status $?" >/dev/ttyS1
else
    xargs -r -n 1 -P "$TEST_JOBS" /init one </tests
    xargs -r -n 1 /init one </alone
fi
echo "@end" >/dev/ttyS1
reboot -f
