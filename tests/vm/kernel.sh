#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# kernel.sh SERIES DIR: Debian's newest cloud kernel of SERIES (6.1, 6.12 ..., newest) into DIR: kernel, initrd (but for
# what vm.sh adds), and in ok the path of its modules. Status 77: it cannot be had here.
# apt works with lists of its own, from the mirror that this machine uses already.
set -eu
SERIES=$1 DIR=$2
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

skip() {
	echo "vm: skipped: $*" >&2
	exit 77
}

# apt_private: the suites that have kernels, in lists of our own
apt_private() {
	local mirror from
	# shellcheck disable=SC2016 # apt's own variable
	mirror=$(apt-get indextargets --format '$(REPO_URI)' | sed -n 's|/debian/*$||p' | head -n 1)
	[[ -n $mirror ]] || skip "no mirror of Debian is configured"
	from="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror"
	mkdir -p "$WORK/lists" "$WORK/cache" "$WORK/parts"
	cat > "$WORK/list" <<-END
		$from/debian-security bullseye-security main
		$from/debian-security bookworm-security main
		$from/debian trixie-backports main
	END
	cat > "$WORK/conf" <<-END
		Dir::Etc::sourcelist "$WORK/list";
		Dir::Etc::sourceparts "$WORK/parts";
		Dir::State::lists "$WORK/lists";
		Dir::Cache "$WORK/cache";
		APT::Sandbox::User "root";
	END
	export APT_CONFIG=$WORK/conf
	# a suite that is gone leaves the others usable
	apt-get -qq update || echo 'vm: a suite could not be updated' >&2
}

# fetch: the packages of the kernel, unpacked below $DIR
fetch() {
	local name version packages file series=${SERIES//./\\.}
	[[ $SERIES != newest ]] || series='[0-9]+\.[0-9]+'
	name=$(apt-cache search -n "^linux-image-$series\.[0-9].*-cloud-amd64$" |
		awk '!/-unsigned/ { print $1 }' | sort -V | tail -n 1)
	[[ -n $name ]] || skip "no kernel $SERIES"
	version=${name#linux-image-}
	packages=("$name")
	# since 6.19 linux-image is empty; depmod needs what is in linux-base
	if apt-cache show "linux-binary-$version" > /dev/null 2>&1; then
		packages=("linux-binary-$version" "linux-modules-$version" "linux-base-$version")
	fi
	(cd "$WORK" && apt-get -qq download "${packages[@]}") || skip "no download of ${packages[*]}"
	for file in "$WORK"/*.deb; do
		dpkg-deb -x "$file" "$DIR"
	done
}

# unpacked FILE: a module that may be compressed
unpacked() {
	case $1 in
	*.xz) xzcat "$1" ;;
	*.zst) zstdcat "$1" ;;
	*) cat "$1" ;;
	esac
}

# make_initrd BASE VERSION: with the modules that the shared root needs, in the order of their loading
make_initrd() {
	local root=$WORK/root number=10 file
	mkdir -p "$root"/{bin,dev,m,l,u,n,proc}
	cp "$(command -v busybox)" "$root/bin/"
	while read -r file; do
		number=$((number + 1))
		unpacked "$file" > "$root/m/$number.ko"
	done < <(modprobe -d "$1" -S "$2" --show-depends -a virtio_pci virtiofs overlay |
		sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++')
	(cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1 > "$DIR/initrd")
}

apt_private
rm -rf "$DIR"
mkdir -p "$DIR"
fetch
modules=$(dirname "$(find "$DIR" -name modules.order)")
depmod -b "${modules%/lib/modules/*}" "${modules##*/}"
make_initrd "${modules%/lib/modules/*}" "${modules##*/}"
cp "$(find "$DIR" -name 'vmlinuz*' -type f)" "$DIR/kernel"
echo "${modules%/*}" > "$DIR/ok"
