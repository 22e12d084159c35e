#!/usr/bin/env bash
# machine.sh NAME DIR DISK SHOWN... [-- HIDDEN]: makes a machine of the namespaces that it is started in, and is its first process.
#
# DIR is the same folder on every machine and outside. /tmp, /var/tmp, /run, /dev/shm and root's home (DIR/home) are the machine's own,
# on a disk of size DISK. SHOWN are folders that stay visible wherever they lie. HIDDEN is a checkout of genray: in its place stands
# ~/genray, so that an environment that was installed from it is as one that was installed from ~/genray.
set -euo pipefail
name=$1 dir=$2 disk=$3 shown=("$2") hidden=
shift 3
while [ $# -gt 0 ]; do
  case $1 in --) hidden=$2; shift 2 ;; *) shown+=("$1"); shift ;; esac
done

hostname "$name"
ip link set lo up
mount --make-rprivate /
mount -t tmpfs -o "size=$disk,mode=755" tmpfs "$dir/disk"
mkdir -p "$dir"/disk/{home/.ssh,tmp,run/sshd}
chmod 1777 "$dir/disk/tmp"
chmod 700 "$dir/disk/home" "$dir/disk/home/.ssh"
mount --bind "$dir/disk/home" "$dir/home"

fds=()
for path in "${shown[@]}"; do
  exec {fd}<"$path"
  fds+=("$fd")
done
mount -t tmpfs tmpfs /dev/shm
mount --bind "$dir/disk/run" /run
mount --bind "$dir/disk/tmp" /var/tmp
mount --bind "$dir/disk/tmp" /tmp
[ -z "$hidden" ] || { mkdir -p "$hidden"; mount -t tmpfs tmpfs "$hidden"; ln -s "$dir/home/genray/genray" "$hidden/genray"; }
for i in "${!shown[@]}"; do  # what was hidden just now, again
  path=${shown[i]} fd=${fds[i]}
  if [ "$(stat -c %d:%i "$path" 2>/dev/null)" != "$(stat -Lc %d:%i "/proc/self/fd/$fd")" ]; then
    mkdir -p "$path"
    mount --no-canonicalize --rbind "/proc/self/fd/$fd" "$path"
  fi
  exec {fd}<&-
done

sed "s|^root:.*|root:x:0:0:root:$dir/home:/bin/bash|" /etc/passwd >"$dir/disk/passwd"
mount --bind "$dir/disk/passwd" /etc/passwd
mount --bind "$dir/etc_hosts" /etc/hosts  # without names gloo waits for 10 s
cp "$dir/bashrc" "$dir/home/.bashrc"
cp "$dir/bashrc" "$dir/home/.profile"
export HOME=$dir/home
cd "$HOME"
touch "$dir/up/$name"
exec "$(command -v sshd)" -D -E "$dir/logs/$name" -f "$dir/sshd_config"
