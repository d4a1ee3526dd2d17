#!/bin/sh
# The first boot of a VM: starts the image's init system, or installs one first.
#
# As PID 1: mounts missing file systems and executes the image's init system. If there is none, installs systemd and
# an ssh server with the image's own package manager first. As a systemd oneshot it only configures the ssh server.
# Progress and failures are reported to the guest agent; after a failure the VM keeps running and is reachable
# through the agent. systemd also runs this script for the units that write_units() writes to /run.
set -u
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

state=/run/banger
agent=$state/banger-vsock-agent
log=$state/first-boot.log
# Exists while an installation is unfinished: after a power loss it is repeated. Names the policy if that is ours.
unfinished=/var/lib/banger/installing
dpkg=/var/lib/dpkg
journal=$dpkg/updates
lists=/var/lib/apt/lists
# Where the host puts packages: on the writable disk, outside of the layer.
given=$state/disk/packages
are_writes_deferred=

main() {
	case ${1-} in
	fstab)
		shift
		fstab_units "$@"
		exit
		;;
	failed)
		report_failed_units
		exit
		;;
	preinst)
		run_preinsts >>"$log" 2>&1
		exit
		;;
	esac
	mount_missing
	if [ "$$" -ne 1 ]; then
		configure_ssh
		exit 0
	fi
	if [ -e "$unfinished" ] || ! init=$(find_init); then
		install_init
		pause_for_copy
		init=$(find_init) || fail "The packages are installed, but none of them is an init system"
	fi
	start "$init"
}

mount_missing() {
	[ -e /proc/self/status ] || mount -t proc proc /proc
	[ -e /sys/kernel ] || mount -t sysfs sysfs /sys
	[ -c /dev/null ] || mount -t devtmpfs devtmpfs /dev
	[ -e /dev/ptmx ] || { mkdir -p /dev/pts && mount -t devpts devpts /dev/pts; }
	is_mounted /run || mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run
	mkdir -p "$state"
}

is_mounted() {
	while read -r _ target _; do
		[ "$target" = "$1" ] && return 0
	done </proc/mounts
	return 1
}

# Lets the host copy the writable layer while it holds nothing but the installation.
pause_for_copy() {
	has_argument banger.first-boot=keep && ask_host installed "$state/kept"
}

# Whether the kernel's command line has a word.
has_argument() {
	case " $(cat /proc/cmdline) " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# Reports a phase, and waits for one line from the host in a pipe. The pipe is open before the host is told: what it
# writes is kept until it is read, and no shell has to wait in open(2), which some give up when a process ends.
ask_host() {
	answer=
	[ -x "$agent" ] && mkfifo "$2" || return 1
	exec 3<>"$2"
	notify "$1"
	read -r answer <&3
	exec 3<&-
	rm -f "$2"
}

# Prints the path of the init system.
find_init() {
	for program in /usr/lib/systemd/systemd /lib/systemd/systemd; do
		[ -x "$program" ] && echo "$program" && return 0
	done
	for program in /sbin/init /usr/sbin/init; do
		is_init "$program" && echo "$program" && return 0
	done
	return 1
}

# busybox is an init system only with an inittab whose programs exist.
is_init() {
	[ -x "$1" ] || return 1
	case $(readlink -f "$1") in
	*/busybox)
		[ -e /etc/inittab ] || return 1
		[ -x /sbin/openrc ] || ! grep -q openrc /etc/inittab
		;;
	esac
}

# The display name of the init system.
init_name() {
	case $(readlink -f "$1") in
	*runit*) echo runit ;;
	*s6*) echo s6 ;;
	*)
		if [ -x /sbin/openrc ]; then
			echo openrc
		elif [ -d /etc/s6-linux-init ]; then
			echo s6
		elif [ -e /etc/runit/2 ]; then
			echo runit
		else
			echo init
		fi
		;;
	esac
}

start() {
	show_units
	case $1 in
	*/systemd)
		write_units
		[ ! -e "$state/template" ] || leave_network_alone
		notify starting systemd
		;;
	# Other init systems do not report when they are up; the agent does not depend on them.
	*)
		name=$(init_name "$1")
		notify starting "$name" && notify ready "$name"
		;;
	esac
	exec "$1"
}

# ---------------------------------------------------------------------- systemd

# Writes units and generators for systemd below /run, so not to the disk.
write_units() {
	units=/run/systemd/system
	[ -x "$agent" ] || return 0
	want multi-user banger-ready "$agent notify ready systemd" <<-EOF
		After=multi-user.target ssh.service ssh.socket sshd.service sshd.socket
		Requisite=multi-user.target
	EOF
	want emergency banger-failed "$0 failed" </dev/null
	want rescue banger-failed "$0 failed" </dev/null
	generators=/run/systemd/system-generators
	mkdir -p "$generators"
	printf '#!/bin/sh\nexec %s fstab "$@"\n' "$0" >"$generators/systemd-fstab-generator"
	chmod 0755 "$generators/systemd-fstab-generator"
	skip_generators
	[ ! -e /usr/bin/cloud-init ] || has_cloud_seed || mask_cloud_init
	# There is no LVM to clean up.
	mask e2scrub_reap
	[ -d "/lib/modules/$(uname -r)" ] || mask modprobe@configfs modprobe@dm_mod modprobe@drm modprobe@efi_pstore \
		modprobe@fuse modprobe@loop
}

# Masks services until the machine is off.
mask() {
	for unit in "$@"; do
		ln -sf /dev/null "$units/$unit.service"
	done
}

# Masks generators that have nothing to read: a VM has neither a partition table, nor a boot loader, nor a hibernated
# system. systemd starts each at every boot.
skip_generators() {
	for name in bless-boot gpt-auto hibernate-resume; do
		ln -sf /dev/null "$generators/systemd-$name-generator"
	done
	for name in crypt integrity verity; do
		[ -e "/etc/${name}tab" ] || ln -sf /dev/null "$generators/systemd-${name}setup-generator"
	done
	[ -e /etc/rc.local ] || ln -sf /dev/null "$generators/systemd-rc-local-generator"
}

# A template has no address yet, and the agent configures that of a machine: network managers shall neither request one
# nor wait for it. They read this again when the machine boots, from files that are not there any more.
leave_network_alone() {
	mkdir -p /run/systemd/network /run/NetworkManager/conf.d
	printf '[Match]\nType=ether\n\n[Link]\nUnmanaged=yes\n' >/run/systemd/network/0-banger.network
	printf '[keyfile]\nunmanaged-devices=type:ethernet\n' >/run/NetworkManager/conf.d/banger.conf
	[ ! -e /etc/dhcpcd.conf ] || printf '# begin banger\ndenyinterfaces eth*\n# end banger\n' >>/etc/dhcpcd.conf
	for unit in systemd-networkd-wait-online NetworkManager-wait-online; do
		mkdir -p "$units/$unit.service.d"
		printf '[Service]\nExecStart=\nExecStart=/bin/true\n' >"$units/$unit.service.d/banger.conf"
	done
}

# Adds a oneshot unit to a target; stdin: more lines of its [Unit] section.
want() {
	mkdir -p "$units/$1.target.wants"
	{
		printf '[Unit]\nDescription=banger: %s\nDefaultDependencies=no\n' "$2"
		cat
		printf '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=%s\n' "$3"
	} >"$units/$2.service"
	ln -sf "../$2.service" "$units/$1.target.wants/$2.service"
}

# Replaces systemd's fstab generator: runs it, then removes its units for disks that do not exist, so that the boot
# does not wait for them. Takes a generator's arguments.
fstab_units() {
	status=0
	for directory in /usr/lib/systemd/system-generators /lib/systemd/system-generators; do
		[ -x "$directory/systemd-fstab-generator" ] || continue
		"$directory/systemd-fstab-generator" "$@" || status=$?
		break
	done
	for unit in "$1"/*.mount "$1"/*.swap; do
		[ ! -f "$unit" ] || is_disk_there "$unit" || forget_unit "$1" "${unit##*/}"
	done
	return "$status"
}

is_disk_there() {
	while IFS='=' read -r name what; do
		[ "$name" = What ] || continue
		case $what in /dev/*) [ -b "$what" ] || return 1 ;; esac
	done <"$1"
	return 0
}

forget_unit() {
	console "ignoring an entry of /etc/fstab whose disk does not exist: $2 ($what)"
	rm -f "$1/$2" "$1"/*/"$2"
	# These read /etc/fstab themselves.
	[ "$2" != -.mount ] || rm -f "$1"/systemd-fsck-root.service "$1"/*/systemd-fsck-root.service "$1"/*/systemd-remount-fs.service
}

# Logged as an error, because a quiet console shows errors only.
console() {
	echo "<3>banger: $1" >/dev/kmsg
} 2>/dev/null

has_cloud_seed() {
	for file in /var/lib/cloud/seed/*/meta-data /var/lib/cloud/seed/*/user-data; do
		[ ! -e "$file" ] || return 0
	done
	return 1
}

# Without a data source cloud-init would search for minutes and reconfigure the network.
mask_cloud_init() {
	console "disabling cloud-init: no data source found"
	mask cloud-init-local cloud-init-main cloud-init-network cloud-init cloud-config cloud-final
	ln -sf /dev/null "$generators/cloud-init-generator"
}

# Runs when the boot has ended in emergency or rescue mode.
report_failed_units() {
	failed=$(systemctl list-units --state=failed --plain --no-legend --no-pager | while read -r unit _; do printf ' %s' "$unit"; done)
	notify failed "systemd did not reach multi-user.target; failed units:${failed:- none}"
}

# -------------------------------------------------------------------- reporting

notify() {
	[ ! -x "$agent" ] || "$agent" notify "$@"
}

say() {
	step=$1
	echo "banger: $1"
	notify installing "$1"
}

fail() {
	show_units
	flush_writes
	echo "banger: $1"
	notify --log "$log" failed "$1"
	[ "$$" -eq 1 ] || exit 1
	[ ! -x "$agent" ] || exec "$agent" idle
	while :; do sleep 3600; done
}

lines() {
	if [ -x "$agent" ]; then "$agent" notify --lines; else tee -a "$log"; fi
}

# Runs a command, reports its output as progress, and returns its exit status.
run() {
	echo "+ $*" >>"$log"
	{
		"$@" 2>&1 </dev/null
		echo "$?" >"$state/status"
	} | lines
	return "$(cat "$state/status")"
}

must() {
	run "$@" || fail_step
}

# Runs a package manager. What it writes is synced once, at the end of the installation.
unsynced() {
	if [ -x "$agent" ]; then "$agent" unsynced "$@"; else "$@"; fi
}

fail_step() {
	status=$(cat "$state/status")
	has_route || fail "No network and no init system: $step failed with exit status $status"
	fail "$step failed with exit status $status"
}

# Whether there is a default route, IPv4 or IPv6.
has_route() {
	while read -r _ target _; do
		[ "$target" = 00000000 ] && return 0
	done </proc/net/route
	while read -r target prefix _ _ _ _ _ _ _ interface; do
		[ "$target$prefix" = 0000000000000000000000000000000000 ] && [ "$interface" != lo ] && return 0
	done </proc/net/ipv6_route
	return 1
} 2>/dev/null

# ----------------------------------------------------------------- installation

install_init() {
	family=$(find_family) || fail "Cannot install an init system: unknown distribution \"$(os_release ID)\"; use direct mode for this image"
	mkdir -p "${unfinished%/*}"
	: >>"$unfinished"
	hide_units
	SYSTEMD_OFFLINE=1
	export SYSTEMD_OFFLINE
	"install_$family"
	configure_ssh
	show_units
	unset SYSTEMD_OFFLINE
	sync
	rm -f "$unfinished"
	rmdir "${unfinished%/*}" 2>/dev/null
}

# Prints a value of os-release. The file is parsed, not executed.
os_release() {
	for file in /etc/os-release /usr/lib/os-release; do
		[ -r "$file" ] || continue
		while IFS='=' read -r name value; do
			[ "$name" = "$1" ] || continue
			value=${value#[\"\']}
			echo "${value%[\"\']}"
			return 0
		done <"$file"
	done
}

# By the distribution's ID first, then by its ID_LIKE.
find_family() {
	for name in $(os_release ID) $(os_release ID_LIKE); do
		case $name in
		debian | ubuntu) echo debian && return 0 ;;
		alpine) echo alpine && return 0 ;;
		fedora | rhel | centos | amzn | photon) echo fedora && return 0 ;;
		arch) echo arch && return 0 ;;
		opensuse* | suse | sles) echo opensuse && return 0 ;;
		esac
	done
	return 1
}

has() {
	command -v "$1" >/dev/null 2>&1
}

install_debian() {
	export DEBIAN_FRONTEND=noninteractive
	policy=/usr/sbin/policy-rc.d
	ours=
	if [ ! -e "$policy" ] || grep -q "$policy" "$unfinished"; then
		ours=1
		echo "$policy" >"$unfinished"
		printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 0755 "$policy"
	fi
	had_lists=$(ls "$lists"/*_*Release 2>/dev/null)
	skip_slow_keys
	defer_writes
	skip_programs
	install_given || install_fetched
	restore_programs
	flush_writes
	restore_slow_keys
	[ -z "$ours" ] || rm -f "$policy"
}

# From the packages that the host has downloaded for this image, with its signatures checked, if it could.
install_given() {
	answer=
	! has_argument banger.packages=host || ask_host packages "$state/packages"
	case $answer in
	unpacked) configure_unpacked ;;
	given) install_repository ;;
	# An attempt that was cut off may have left some.
	*) rm -rf "$given" && return 1 ;;
	esac
}

# Runs the scripts of packages that come before their files, which the host then brings, as dpkg does. Fails if that is
# better left to dpkg: if one fails, or changes where other packages' files are to be.
run_preinsts() {
	before=$(cat "$dpkg/diversions" "$dpkg/statoverride" 2>/dev/null)
	export DEBIAN_FRONTEND=noninteractive DPKG_ADMINDIR="$dpkg" DPKG_ROOT= DPKG_MAINTSCRIPT_DEBUG=0 \
		DPKG_MAINTSCRIPT_NAME=preinst DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_PACKAGE DPKG_MAINTSCRIPT_ARCH
	DPKG_RUNNING_VERSION=$(cat "$given/version")
	export DPKG_RUNNING_VERSION
	cd / || return
	while read -r DPKG_MAINTSCRIPT_PACKAGE DPKG_MAINTSCRIPT_ARCH; do
		echo "preinst of $DPKG_MAINTSCRIPT_PACKAGE"
		unsynced "$given/$DPKG_MAINTSCRIPT_PACKAGE.preinst" install </dev/null || return
	done <"$given/scripts"
	[ "$(cat "$dpkg/diversions" "$dpkg/statoverride" 2>/dev/null)" = "$before" ]
}

# The host has unpacked them. As with apt, some are configured before all others; apt does the rest where the image has
# hooks for it.
configure_unpacked() {
	say "Installing systemd and openssh-server"
	echo "Setting up $(cat "$given/count") packages" | lines
	read -r first <"$given/first"
	rm -rf "$given"
	# shellcheck disable=SC2086
	[ -z "$first" ] || run unsynced dpkg --force-confold --no-triggers --configure $first || return
	if grep -qsi invoke /etc/apt/apt.conf /etc/apt/apt.conf.d/*; then
		run apt_get -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o "DPkg::Path=$PATH" install
	else
		run unsynced dpkg --force-confold --configure --pending
	fi
}

# The packages and their list are placed where apt keeps what it has downloaded, so that it reads no other list and
# hashes nothing.
install_repository() {
	[ -e "$given/Packages" ] || return 1
	mkdir -p "$given/lists/partial" "$given/cache/archives/partial"
	echo "deb [trusted=yes] file:$given ./" >"$given/sources.list"
	mv "$given/Packages" "$given/lists/$(echo "$given/./Packages" | tr / _)"
	say "Installing systemd and openssh-server"
	run install_packages -o Dir::Etc::sourcelist="$given/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$given/lists" -o Dir::Cache="$given/cache" -o APT::Sandbox::User=root \
		-o APT::Default-Release=
	rm -rf "$given"
	return "$(cat "$state/status")"
}

install_fetched() {
	say "Updating the package lists"
	run apt_get update || fail_lists
	say "Installing systemd and openssh-server"
	must install_packages
	run apt_get clean
	# Old package lists would name packages that the mirrors no longer have.
	[ -n "$had_lists" ] || rm -f "$lists"/*_* /var/cache/apt/*.bin
}

# Takes options of apt-get.
install_packages() {
	apt_get -y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold \
		-o Dpkg::Options::=--force-unsafe-io -o "DPkg::Path=$PATH" "$@" install \
		systemd systemd-sysv udev dbus openssh-server iproute2
}

# Releases out of support are removed from the mirrors.
fail_lists() {
	if grep -q "404 \|does not have a Release file" "$log"; then
		fail "The mirrors of $(os_release PRETTY_NAME) have no package lists. A release out of support is on its distribution's archive host: change the image's sources, or use direct mode"
	fi
	fail_step
}

# Avoids what is slow under emulation: xz, translations, compressed lists on disk and list diffs. Keeps the package
# cache enabled even if the image disables it, so that it is built only once.
apt_get() {
	unsynced apt-get -q -o Acquire::Languages=none -o Acquire::PDiffs=false -o Acquire::GzipIndexes=false \
		-o Acquire::CompressionTypes::Order::=gz -o Dir::Cache::pkgcache=pkgcache.bin \
		-o Dir::Cache::srcpkgcache=srcpkgcache.bin "$@"
}

# Syncing to disk is pointless during the installation, which is repeated after a power loss. dpkg syncs several
# times per package, mostly for its journal.
defer_writes() {
	are_writes_deferred=1
	barrier 0
	[ ! -d "$journal" ] || mount -t tmpfs -o mode=0755 tmpfs "$journal" || journal=
}

flush_writes() {
	[ -n "$are_writes_deferred" ] || return 0
	are_writes_deferred=
	[ -z "$journal" ] || ! is_mounted "$journal" || umount "$journal"
	sync
	barrier 1
}

barrier() {
	for place in "$state/disk" /; do
		! is_mounted "$place" || ! mount -o "remount,barrier=$1" "$place" 2>/dev/null || return 0
	done
}

# The hardware database takes long to build, and a VM has none of that hardware. Our policy denies all that invoke-rc.d
# is asked for, which takes it a second to find out.
skip_programs() {
	skipped=$state/bin
	mkdir -p "$skipped"
	printf '#!/bin/sh\n' >"$skipped/systemd-hwdb"
	[ -z "$ours" ] || printf '#!/bin/sh\n' >"$skipped/invoke-rc.d"
	write_systemd_helper
	chmod 0755 "$skipped"/*
	PATH=$skipped:$PATH
}

# deb-systemd-helper is Perl, which takes a second to start under emulation, and scripts call it several times for each
# unit. This does the same for units with plain [Install] sections, and leaves all else to it.
write_systemd_helper() {
	cat >"$skipped/deb-systemd-helper" <<-'EOF'
		#!/bin/sh
		real=/usr/bin/deb-systemd-helper
		state=/var/lib/systemd/deb-systemd
		units=/etc/systemd/system
		main() {
			quiet=
			[ "$1" != --quiet ] || { quiet=1 && shift; }
			unit=$2
			also=$state-helper-enabled/$unit.dsh-also
			is_plain "$@" || return
			case $1 in
			unmask)
				[ ! -e "$units/$unit" ] && [ ! -d "$state-helper-masked" ] && [ ! -d "$state-user-helper-masked" ] || return
				exit 0
				;;
			debian-installed)
				[ -f "$also" ]
				exit
				;;
			was-enabled)
				[ -n "$quiet" ] || return
				[ ! -e "$also" ] || all_linked <"$also"
				exit
				;;
			enable)
				[ ! -e "$also" ] && grep -qs preset-mode "$real" && command -v systemctl >/dev/null && find_links || return
				systemctl --root=/ --system --preset-mode=enable-only preset "$unit" || exit 1
				[ -z "$links" ] || { write_links && touch_marks; }
				exit
				;;
			update-state)
				find_links || return
				write_links
				exit
				;;
			esac
		}
		is_plain() {
			[ "$#" -eq 2 ] && [ -n "${DPKG_MAINTSCRIPT_PACKAGE-}" ] || return
			[ -z "${DPKG_ROOT-}${_DEB_SYSTEMD_HELPER_PURGE-}${_DEB_SYSTEMD_HELPER_DEBUG-}" ] || return
			case $2 in '' | -* | .* | *[!A-Za-z0-9._-]*) return 1 ;; esac
		}
		all_linked() {
			while IFS= read -r link; do [ -L "$link" ] || return 1; done
		}
		# Of the unit's [Install] section: aliases first. Fails if it has more than plain names.
		find_links() {
			for file in "$units" /lib/systemd/system /usr/lib/systemd/system; do
				[ ! -f "$file/$unit" ] || break
			done
			[ -f "$file/$unit" ] || return
			links= wants=
			while IFS= read -r line || [ -n "$line" ]; do
				case $line in
				*=*) ;;
				*) continue ;;
				esac
				value=${line#*=}
				case $line in
				Alias=*[!A-Za-z0-9._-]* | WantedBy=*[!A-Za-z0-9._-]*) return 1 ;;
				Alias=?*) [ "$value" = "$unit" ] || links="$links $units/$value" ;;
				WantedBy=?*) wants="$wants $units/$value.wants/$unit" ;;
				*[Aa][Ll][Ss][Oo]=* | *[Aa][Ll][Ii][Aa][Ss]=* | *[Dd]*[Ii][Nn][Ss][Tt][Aa][Nn][Cc][Ee]=*) return 1 ;;
				*[Ww][Aa][Nn][Tt][Ee][Dd][Bb][Yy]=* | *[Rr][Ee][Qq][Uu][Ii][Rr][Ee][Dd][Bb][Yy]=*) return 1 ;;
				esac
			done <"$file/$unit"
			links=$links$wants
		}
		write_links() {
			mkdir -p "${also%/*}" || return
			for link in $links; do echo "$link"; done >"$also.tmp" && chmod 644 "$also.tmp" && mv "$also.tmp" "$also"
		}
		touch_marks() {
			for link in $links; do
				mark=$state-helper-enabled/${link#"$units/"}
				[ -e "$mark" ] || { mkdir -p "${mark%/*}" && : >>"$mark"; } || return
			done
		}
		main "$@"
		exec "$real" "$@"
	EOF
}

restore_programs() {
	PATH=${PATH#"$skipped:"}
	rm -rf "$skipped"
}

# The package generates host keys of all types; RSA takes half a minute under emulation. It skips existing files.
skip_slow_keys() {
	mkdir -p /etc/ssh
	for kind in rsa ecdsa; do
		[ -e "/etc/ssh/ssh_host_${kind}_key" ] || : >"/etc/ssh/ssh_host_${kind}_key"
	done
}

restore_slow_keys() {
	for kind in rsa ecdsa; do
		[ -s "/etc/ssh/ssh_host_${kind}_key" ] || rm -f "/etc/ssh/ssh_host_${kind}_key"
	done
}

install_fedora() {
	packages="systemd systemd-udev dbus openssh-server iproute"
	say "Installing systemd and openssh-server"
	for manager in dnf5 dnf microdnf yum; do
		has "$manager" || continue
		# shellcheck disable=SC2086
		must unsynced "$manager" -y --setopt=install_weak_deps=0 install $packages
		run "$manager" clean all
		return 0
	done
	# Photon has tdnf, which has no weak dependencies.
	if has tdnf; then
		must unsynced tdnf -y install systemd dbus openssh-server iproute2
		run tdnf clean all
		return 0
	fi
	fail "Cannot install an init system: the image has neither dnf nor microdnf"
}

# "pacman -Scc --noconfirm" answers its own prompt with no, and "-Sc" keeps installed packages.
install_arch() {
	had_lists=$(ls /var/lib/pacman/sync/*.db 2>/dev/null)
	had_packages=$(ls /var/cache/pacman/pkg/*.pkg.tar* 2>/dev/null)
	say "Updating packages, installing systemd and openssh"
	must unsynced pacman -Syu --noconfirm --needed systemd-sysvcompat dbus openssh iproute2
	[ -n "$had_lists" ] || rm -f /var/lib/pacman/sync/*
	[ -n "$had_packages" ] || rm -f /var/cache/pacman/pkg/*.pkg.tar*
}

install_opensuse() {
	say "Installing systemd and openssh"
	# An unreachable repository fails this, but not the installation from the others.
	run zypper --non-interactive --gpg-auto-import-keys refresh
	run unsynced zypper --non-interactive install --no-recommends systemd udev dbus-1 openssh iproute2
	case $(cat "$state/status") in
	# Success, or: reboot needed, restart of zypper needed, repository skipped, package script failed.
	0 | 102 | 103 | 106 | 107) ;;
	*) fail_step ;;
	esac
	run zypper clean --all
}

# Alpine has no systemd: OpenRC takes its place.
install_alpine() {
	say "Installing OpenRC and openssh"
	must unsynced apk add --no-cache alpine-base openssh
	# Without a display there is no tty1.
	[ ! -e /etc/inittab ] || run sed -i 's/^tty[0-9]/#&/' /etc/inittab
	run rc-update add sshd default
}

# Package scripts take an existing /run/systemd/system for a running systemd, so it is moved away.
hide_units() {
	[ ! -d /run/systemd/system ] || mv /run/systemd/system "$state/units"
}

show_units() {
	[ -d "$state/units" ] || return 0
	mkdir -p /run/systemd
	rm -rf /run/systemd/system
	mv "$state/units" /run/systemd/system
}

# ------------------------------------------------------------------- ssh server

configure_ssh() {
	has sshd || return 0
	key=/etc/ssh/ssh_host_ed25519_key
	[ -s "$key" ] || ! has ssh-keygen || run ssh-keygen -q -t ed25519 -N "" -f "$key"
	if [ -d /etc/ssh/sshd_config.d ]; then
		ssh_options >/etc/ssh/sshd_config.d/50-banger.conf
	elif [ -e /etc/ssh/sshd_config ]; then
		prepend_ssh_options
	fi
	is_ssh_enabled || ! has systemctl || enable_ssh
	return 0
}

# The unit is called ssh on Debian and sshd elsewhere.
enable_ssh() {
	for unit in ssh sshd; do
		for directory in /etc /usr/lib /lib; do
			[ -e "$directory/systemd/system/$unit.service" ] || continue
			run systemctl enable "$unit.service" && return 0
		done
	done
}

# Lists the existing keys, so that sshd does not look for others.
ssh_options() {
	echo "# banger"
	echo "PermitRootLogin prohibit-password"
	for key in /etc/ssh/ssh_host_*_key; do
		[ ! -s "$key" ] || echo "HostKey $key"
	done
}

# sshd uses the first value of an option.
prepend_ssh_options() {
	config=/etc/ssh/sshd_config
	grep -qxF "# banger" "$config" && return 0
	{
		ssh_options
		cat "$config"
	} >"$config.banger" && cat "$config.banger" >"$config"
	rm -f "$config.banger"
}

is_ssh_enabled() {
	for unit in ssh sshd; do
		[ ! -e "/etc/systemd/system/multi-user.target.wants/$unit.service" ] || return 0
	done
	return 1
}

main "$@"
