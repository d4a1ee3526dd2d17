#!/bin/sh
# A stand-in for Firecracker's jailer in tests of what surrounds it: it takes the same arguments,
# copies the program into the jail's root, makes the devices, and goes on as the given user with that
# root. Unlike the real one it also shows the programs that the API peer needs. It isolates nothing
# beyond that; the real one must be trusted to.
set -eu
if [ "$1" = --version ]; then
  printf 'Jailer v%s\n\n' "${FAKE_VERSION:-1.14.1}"
  exit 0
fi
id='' exec_file='' uid='' gid='' base=''
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    --id) id=$2 ;;
    --exec-file) exec_file=$2 ;;
    --uid) uid=$2 ;;
    --gid) gid=$2 ;;
    --chroot-base-dir) base=$2 ;;
    --cgroup-version) [ "$2" = 2 ] ;;
    --parent-cgroup | --cgroup) ;;
    *) echo "Jailer error: unexpected argument $1" >&2; exit 1 ;;
  esac
  shift 2
done
# Mounts made here must end with this process, so they need the namespace that the driver makes.
if ! grep -qF " $base rw" /proc/self/mountinfo; then
  echo "Jailer error: $base is not a mount of its own" >&2
  exit 1
fi
name=$(basename "$exec_file")
root=$base/$name/$id/root
mkdir -p "$root/dev/net"
cp "$exec_file" "$root/$name"
mknod "$root/dev/kvm" c 10 232
mknod "$root/dev/net/tun" c 10 200
mknod "$root/dev/null" c 1 3
mknod "$root/dev/urandom" c 1 9
chmod 666 "$root/dev/null" "$root/dev/urandom"
chown "$uid:$gid" "$root" "$root/dev/kvm" "$root/dev/net/tun"
for path in /usr /proc $JAILER_SHOWS; do
  # What an earlier one brought along is the host's own: it must not be written to.
  [ -e "$root$path" ] && continue
  if [ -d "$path" ]; then
    mkdir -p "$root$path"
  else
    mkdir -p "$(dirname "$root$path")"
    : > "$root$path"
  fi
  mount --rbind "$path" "$root$path"
done
for link in bin lib lib64; do ln -s "usr/$link" "$root/$link"; done
exec chroot --userspec="$uid:$gid" "$root" "/$name" --id "$id" "$@"
