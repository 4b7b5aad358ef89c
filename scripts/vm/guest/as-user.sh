#!/bin/sh
# as-user.sh COMMAND…: runs it in the test machine as uid 65534, in the control group that boot.sh delegated to him.
home=/vm/tmp/user
for dir in "$home" "$home/tmp" "$home/run"; do
  [ -d "$dir" ] || install -d -m 700 -o 65534 -g 65534 "$dir"
done
echo $$ >'/sys/fs/cgroup/user.slice/user@65534.service/tests.scope/cgroup.procs' || exit
exec env HOME="$home" TMPDIR="$home/tmp" XDG_RUNTIME_DIR="$home/run" CTR_REQUIRE="$CTR_REQUIRE_VM_USER" USER=nobody LOGNAME=nobody \
  setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@"
