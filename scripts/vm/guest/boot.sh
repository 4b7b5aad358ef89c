# Process 1 of the test machine, in its own root: gets the kernel ready, runs share/command in a control group of its own, as a
# service of systemd would be, leaves the exit status in share/status and powers off. /vm/share/environment is written by guest.mjs.
# With CTR_VM_SYSTEMD=1 process 1 becomes systemd, and what runs the command is a service of it: `boot.sh run_command`.
. /vm/share/environment

cgroup=/sys/fs/cgroup

main() {
  hostname ctr-vm
  ip link set lo up
  mkdir -p /lib/modules
  ln -sfn "$CTR_VM_MODULES" "/lib/modules/$(uname -r)"
  # What the kernel does not load by itself when it is first asked for, or what ordinary users may not make it load.
  modprobe -a loop erofs squashfs fuse tun veth bridge nf_tables 2>&1
  if [ "$CTR_VM_SYSTEMD" = 1 ]; then
    write_units
    exec /lib/systemd/systemd --unit=ctr-tests.service --show-status=false
  fi
  lay_out
  run_command run
}

# systemd's layout. The kernel's own threads stay in the root group.
lay_out() {
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
}
give() { for controller in $(cat "$1/cgroup.controllers"); do echo "+$controller" >"$1/cgroup.subtree_control"; done; }
run() { (echo 0 >"$cgroup/system.slice/ctr-tests.service/cgroup.procs" && exec "$@"); }

# Nothing but the bus and the service: what Debian starts otherwise would take a minute here.
write_units() {
  units=/run/systemd/system
  for unit in dbus.socket dbus.service; do
    mkdir -p "$units/$unit.d"
    printf '[Unit]\nDefaultDependencies=no\n' >"$units/$unit.d/early.conf"
  done
  cat >"$units/ctr-tests.service" <<END
[Unit]
DefaultDependencies=no
Requires=dbus.socket dbus.service
After=dbus.socket dbus.service

[Service]
Type=oneshot
Delegate=yes
ExecStart=/bin/sh /vm/share/boot.sh run_command
# There is no journal.
StandardOutput=null
StandardError=null
END
}

# Runs share/command by "$@", and ends the machine.
run_command() {
  if [ -n "$CTR_VM_SHELL" ]; then
    stty -F /dev/ttyS0 sane $CTR_VM_SHELL 2>/dev/null
    "$@" setsid --ctty --wait sh /vm/share/command </dev/ttyS0 >/dev/ttyS0 2>&1
  else
    "$@" sh /vm/share/command </dev/null >"$(echo /dev/vport*p1)" 2>&1
  fi
  echo $? >/vm/share/status
  sync
  echo o >/proc/sysrq-trigger
  sleep 60
}

"${@:-main}"
