# Process 1 of the test machine, in its own root: gets the kernel ready, runs share/command in a control group of its own, as a
# service of systemd would be, leaves the exit status in share/status and powers off. /vm/share/environment is written by guest.mjs.
. /vm/share/environment

hostname ctr-vm
ip link set lo up
mkdir -p /lib/modules
ln -sfn "$CTR_VM_MODULES" "/lib/modules/$(uname -r)"
# What the kernel does not load by itself when it is first asked for, or what ordinary users may not make it load.
modprobe -a loop erofs squashfs fuse tun veth bridge nf_tables 2>&1

# systemd's layout. The kernel's own threads stay in the root group.
cgroup=/sys/fs/cgroup
give() { for controller in $(cat "$1/cgroup.controllers"); do echo "+$controller" >"$1/cgroup.subtree_control"; done; }
mkdir "$cgroup/init.scope" "$cgroup/system.slice" "$cgroup/user.slice"
echo $$ >"$cgroup/init.scope/cgroup.procs"
give "$cgroup"
give "$cgroup/system.slice"
mkdir "$cgroup/system.slice/ctr-tests.service"
# What a user's own systemd has, with Delegate=yes: a group where he may make groups, and one in it for what he runs.
give "$cgroup/user.slice"
user="$cgroup/user.slice/user@65534.service"
mkdir "$user"
give "$user"
mkdir "$user/tests.scope"
for file in . cgroup.procs cgroup.threads cgroup.subtree_control; do chown 65534:65534 "$user/$file" "$user/tests.scope/$file"; done

run() { (echo 0 >"$cgroup/system.slice/ctr-tests.service/cgroup.procs" && exec "$@"); }

if [ -n "$CTR_VM_SHELL" ]; then
  stty -F /dev/ttyS0 sane $CTR_VM_SHELL 2>/dev/null
  run setsid --ctty --wait sh /vm/share/command </dev/ttyS0 >/dev/ttyS0 2>&1
else
  run sh /vm/share/command </dev/null >"$(echo /dev/vport*p1)" 2>&1
fi
echo $? >/vm/share/status
sync
echo o >/proc/sysrq-trigger
sleep 60
