#!/bin/sh
# Turns an image into one to work in: an init, a login, a network, and the programs that everybody
# expects. `banger image build --from-image IMAGE` runs it when no script is given.
set -eu

# One value of os-release. The file is read, not executed.
os_release() {
	for file in /etc/os-release /usr/lib/os-release; do
		[ -r "$file" ] || continue
		sed -n "s/^$1=[\"']\{0,1\}\([^\"']*\)[\"']\{0,1\}\$/\1/p" "$file" | head -n 1
		return 0
	done
}

family=
for name in $(os_release ID) $(os_release ID_LIKE); do
	case $name in
	debian | ubuntu) family=debian ;;
	alpine) family=alpine ;;
	fedora | rhel | centos | amzn) family=fedora ;;
	arch) family=arch ;;
	opensuse* | suse | sles) family=opensuse ;;
	*) continue ;;
	esac
	break
done

common="bash ca-certificates curl file git jq less nano procps psmisc rsync sudo tmux tree unzip"
case $family in
debian)
	export DEBIAN_FRONTEND=noninteractive
	# What an emulated machine does slowly: lists in xz and in more than one language, and syncs.
	apt="apt-get -q -o Acquire::Languages=none -o Acquire::PDiffs=false -o Acquire::GzipIndexes=false
		-o Acquire::CompressionTypes::Order::=gz -o Dpkg::Options::=--force-unsafe-io"
	$apt update
	# shellcheck disable=SC2086
	$apt install -y --no-install-recommends systemd systemd-sysv libpam-systemd dbus udev \
		openssh-server iproute2 iputils-ping bash-completion xz-utils zstd $common
	apt-get clean
	rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
	;;
fedora)
	for manager in dnf5 dnf microdnf yum; do
		! command -v "$manager" >/dev/null || break
	done
	# curl-minimal, which some images bring, is curl enough.
	! command -v curl >/dev/null || common=$(echo "$common" | sed 's/ curl / /')
	# shellcheck disable=SC2086
	"$manager" -y --setopt=install_weak_deps=0 install systemd systemd-udev dbus openssh-server \
		openssh-clients iproute iputils xz zstd $(echo "$common" | sed 's/procps/procps-ng/')
	"$manager" clean all
	;;
arch)
	# shellcheck disable=SC2086
	pacman -Syu --noconfirm --needed systemd-sysvcompat dbus openssh iproute2 iputils xz zstd \
		$(echo "$common" | sed 's/procps/procps-ng/')
	;;
opensuse)
	zypper --non-interactive --gpg-auto-import-keys refresh
	# shellcheck disable=SC2086
	zypper --non-interactive install --no-recommends systemd udev dbus-1 openssh iproute2 iputils \
		xz zstd $common
	zypper clean --all
	;;
alpine)
	# shellcheck disable=SC2086
	apk add --no-cache alpine-base openssh iproute2 iputils xz zstd $common
	rc-update add sshd default
	;;
*)
	echo "unknown distribution \"$(os_release ID)\": write a script for it, and give it with --script" >&2
	exit 1
	;;
esac

# Each machine gets keys of its own.
rm -f /etc/ssh/ssh_host_*
if command -v systemctl >/dev/null; then
	SYSTEMD_OFFLINE=1 systemctl enable ssh.service 2>/dev/null ||
		SYSTEMD_OFFLINE=1 systemctl enable sshd.service
fi
