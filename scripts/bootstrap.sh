#!/bin/sh
# Installs what this checkout needs and this computer lacks: Debian packages with apt, and
# Bun with the JavaScript dependencies from npm into the checkout. Run it as often as you
# like: with nothing missing it needs neither root nor the network.
#
#   scripts/bootstrap.sh [build] [run] [demo] [kernel] [cross] [test] [ui]      default: build
#
# BANGER_BOOTSTRAP=check only says what is missing, and fails if anything is.
set -eu
cd "$(dirname "$0")/.."

# package=what shows that it is there: a program, or the path of a file
PACKAGES_build="gcc make libc6-dev=/usr/include/stdio.h musl-tools=musl-gcc"
PACKAGES_run="qemu-system-x86=qemu-system-x86_64 passt iproute2=ip nftables=nft e2fsprogs=mke2fs
  openssh-client=ssh xz-utils=xz kmod=modinfo zstd ca-certificates=/etc/ssl/certs/ca-certificates.crt"
PACKAGES_demo="mmdebstrap docker-registry isal=igzip"
PACKAGES_kernel="flex bison bc perl libelf-dev=/usr/include/libelf.h"
PACKAGES_cross="gcc-aarch64-linux-gnu=aarch64-linux-gnu-gcc"
PACKAGES_test="$PACKAGES_demo skopeo umoci busybox-static=/bin/busybox dnsutils=dig zsh fish procps=ps rsync git cpio curl
  $PACKAGES_kernel rclone minisign lz4 bzip2 s6=s6-supervise libcap2-bin=setcap
  dnf zypper pacman-package-manager=pacman makepkg libarchive-tools=bsdtar rpm=rpmbuild
  createrepo-c=createrepo_c gpg python3 python3-pip=pip3"
PACKAGES_bench="podman"
PACKAGES_ui="chromium fonts-dejavu-core=/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"

# Debian's way to keep the services of new packages from being started.
POLICY=/usr/sbin/policy-rc.d

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH

say() { printf 'bootstrap: %s\n' "$*" >&2; }
fail() {
  say "$1"
  shift
  for line in "$@"; do printf '           %s\n' "$line" >&2; done
  exit 1
}

is_there() {
  case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

# Sets $missing to the packages of the given groups that are not here.
find_missing() {
  missing=
  for group in "$@"; do
    eval "packages=\${PACKAGES_$group-}"
    [ -n "$packages" ] || fail "\"$group\" is not a group of packages: use build, run, demo, kernel, cross, test, ui or bench"
    for entry in $packages; do
      package=${entry%%=*}
      case " $missing " in *" $package "*) continue ;; esac
      is_there "${entry#*=}" || missing="$missing $package"
    done
  done
  missing=${missing# }
}

# Sets $root to what goes before a command that needs root; fails if there is no way.
find_root() {
  root=
  [ "$(id -u)" = 0 ] && return
  if command -v sudo >/dev/null 2>&1; then
    if sudo -n true 2>/dev/null || { [ -t 0 ] && sudo true; }; then
      root=sudo
      return
    fi
  fi
  fail "installing $1 needs root, or sudo, and there is neither" "${2:-}" "then run this command again"
}

apt() {
  $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 "$@" \
    >>build/bootstrap-apt.log 2>&1 </dev/null || {
    tail -n 15 build/bootstrap-apt.log >&2
    fail "apt-get $1 failed; its whole output is in build/bootstrap-apt.log"
  }
}

# The packages are wanted for their programs: none of their services may start or stay enabled.
install_packages() {
  if [ ! -e $POLICY ]; then
    own_policy=1
    printf '#!/bin/sh\nexit 101\n' | $root tee $POLICY >/dev/null
    $root chmod 755 $POLICY
  fi
  # shellcheck disable=SC2086 # a list of words
  apt install --no-install-recommends $1
  case " $1 " in
    *" docker-registry "*)
      if command -v systemctl >/dev/null 2>&1; then
        $root systemctl disable --quiet docker-registry.service >/dev/null 2>&1 || true
      fi
      ;;
  esac
}

install_debian() {
  find_missing "$@"
  stale=
  case " $* " in
    # `banger kernel pull` asks apt's package lists, which a fresh machine may not have yet.
    *" run "*) ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || stale=1 ;;
  esac
  [ -n "$missing$stale" ] || return 0
  if ! command -v apt-get >/dev/null 2>&1; then
    fail "this is not a Debian system, so install these programs yourself:" "$missing"
  fi
  find_root "Debian packages" "apt-get update && apt-get install --no-install-recommends $missing"
  : >build/bootstrap-apt.log
  say "updating the package lists"
  apt update
  [ -n "$missing" ] || return 0
  say "installing Debian packages: $missing"
  install_packages "$missing"
}

case $(uname -m) in
  x86_64) bun=@oven/bun-linux-x64/bin/bun ;;
  aarch64) bun=@oven/bun-linux-aarch64/bin/bun ;;
  *) fail "banger runs on x86-64 and arm64, and this is $(uname -m)" ;;
esac

# A copy of the files that a step was done from: the step is done again when they differ.
is_current() {
  stamp=$1
  shift
  [ -f "$stamp" ] && cat "$@" | cmp -s - "$stamp"
}

install_bun() {
  files="scripts/toolchain/package.json scripts/toolchain/package-lock.json"
  # shellcheck disable=SC2086 # a list of words
  if [ -x build/toolchain/bun ] && is_current build/toolchain/.stamp $files; then return; fi
  command -v npm >/dev/null 2>&1 || fail "npm is missing: install Node 20 or newer, with npm"
  say "installing Bun from npm"
  rm -rf build/toolchain
  mkdir -p build/toolchain
  # shellcheck disable=SC2086 # a list of words
  cp $files build/toolchain
  # Its install script only links the program that the platform's own package holds.
  npm ci --prefix build/toolchain --ignore-scripts --no-audit --no-fund --loglevel=error \
    >build/bootstrap-npm.log 2>&1 </dev/null || true
  if [ ! -x "build/toolchain/node_modules/$bun" ]; then
    cat build/bootstrap-npm.log >&2
    fail "npm did not install Bun"
  fi
  ln -s "node_modules/$bun" build/toolchain/bun
  # shellcheck disable=SC2086 # a list of words
  cat $files >build/toolchain/.stamp
}

install_javascript() {
  install_bun
  if is_current node_modules/.banger-stamp package.json bun.lock patches/*; then return; fi
  say "installing the JavaScript dependencies"
  build/toolchain/bun install --frozen-lockfile >build/bootstrap-bun.log 2>&1 </dev/null || {
    cat build/bootstrap-bun.log >&2
    fail "bun install failed"
  }
  cat package.json bun.lock patches/* >node_modules/.banger-stamp
}

[ $# -gt 0 ] || set -- build
if [ "${BANGER_BOOTSTRAP-}" = check ]; then
  find_missing "$@"
  [ -z "$missing" ] || fail "missing Debian packages: $missing"
  exit 0
fi
mkdir -p build
own_policy=
javascript=
clean_up() {
  [ -z "$own_policy" ] || $root rm -f $POLICY
  [ -z "$javascript" ] || kill "$javascript" 2>/dev/null || true
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
(
  trap - EXIT
  install_javascript
) &
javascript=$!
install_debian "$@"
status=0
wait $javascript || status=$?
javascript=
exit $status
