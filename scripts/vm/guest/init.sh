#!/bin/busybox sh
# The first program of the test machine: makes a root out of the host's files (read-only, over 9p) and a scratch disk above
# them, and goes on there with boot.sh. Whatever it changes is gone with the disk: the host sees nothing of it.
/bin/busybox --install -s /bin
export PATH=/bin

fail() {
  echo "init: $*" >/dev/console
  echo o >/proc/sysrq-trigger
  sleep 60
}

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module" || fail "cannot load $module"; done </modules/order

options=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "$options,cache=loose,ro" host /host || fail "cannot reach the host's files"
mount -t ext4 -o nodiscard /dev/vda /disk || fail 'cannot mount the scratch disk'
mkdir /disk/upper /disk/work /disk/tmp /disk/store
chmod 1777 /disk/tmp
mount -t overlay -o lowerdir=/host,upperdir=/disk/upper,workdir=/disk/work overlay /new || fail 'cannot mount the root'

cd /new || fail 'no root'
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sys sys
mount -t devtmpfs -o nosuid dev dev
mkdir -p dev/pts dev/shm dev/mqueue vm/tmp vm/share var/lib/ctr
mount -t devpts -o nosuid,noexec,gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o nosuid,nodev shm dev/shm
mount -t mqueue -o nosuid,nodev,noexec mqueue dev/mqueue
mount -t tmpfs -o nosuid,nodev,mode=755 run run
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 sys/fs/cgroup
# Overlayfs takes no overlay for its upper directory: temporary files and root's default store are on the disk itself.
mount --bind /disk/tmp vm/tmp
mount --bind /disk/store var/lib/ctr
mount -t 9p -o "$options" share vm/share || fail 'cannot reach the shared folder'
# As on any machine whose init is systemd, and as overlays of a container expect.
mount --make-rshared /new
umount /dev /sys /proc
exec switch_root /new /bin/sh /vm/share/boot.sh
