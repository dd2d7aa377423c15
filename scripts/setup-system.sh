#!/usr/bin/env bash
# Installs the Debian packages LUC OS needs: QEMU, libvirt, and what builds its Python bindings and its guest.
#
#   scripts/setup-system.sh          as root: install what is missing; otherwise: name what is missing
#
# Does nothing, in well under a second, when all is there. Debian 12 carries QEMU 7.2, which corrupts guests
# that write while they migrate live: QEMU and libvirt then come from the backports suite, taken from the
# mirror this machine already uses. Only the machine's Debian archives are consulted, so that the list of
# some other supplier that does not answer cannot stop the set-up.
set -euo pipefail

APT_DIR=${APT_DIR:-/etc/apt}

# package[=least version]; those with a version come from backports where the release has none so new.
PACKAGES=(
    qemu-system-x86=1:10 qemu-utils=1:10 qemu-block-extra=1:10
    libvirt-daemon=11 libvirt-daemon-driver-qemu=11 libvirt-daemon-driver-network=11
    libvirt-daemon-driver-storage=11 libvirt-clients=11 libvirt-dev=11
    python3-venv python3-dev gcc libc6-dev pkg-config make
    busybox-static cpio kmod xz-utils e2fsprogs nftables iproute2 util-linux procps
)

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

# The Debian archives of release $1 in apt's configuration, one per line: URI, suite, components, key file
# ("-" when none is named), separated by tabs. Reads both of apt's formats.
debian_archives() {
    local files=()
    for file in "$APT_DIR"/sources.list "$APT_DIR"/sources.list.d/*.list "$APT_DIR"/sources.list.d/*.sources; do
        [ -f "$file" ] && files+=("$file")
    done
    [ ${#files[@]} -gt 0 ] || return 0
    awk -v codename="$1" '
        function archive(uri, suite, components, key) {
            if (suite !~ "^" codename "(-updates|-security|-backports)?$") return
            if ((" " components " ") !~ / main /) return
            if (key != "" && key !~ /debian-archive/) return
            print uri "\t" suite "\t" components "\t" (key == "" ? "-" : key)
        }
        function stanza(   uris, suites, u, s, i, j) {
            if ((" " field["types"] " ") ~ / deb / && tolower(field["enabled"]) != "no") {
                u = split(field["uris"], uris, " "); s = split(field["suites"], suites, " ")
                for (i = 1; i <= u; i++) for (j = 1; j <= s; j++)
                    archive(uris[i], suites[j], field["components"], field["signed-by"])
            }
            delete field; name = ""
        }
        function one_line(   options, key, uri, suite, words, n, i, components) {
            key = ""
            sub(/^deb[ \t]+/, "")
            if (match($0, /^\[[^]]*\][ \t]*/)) {
                options = substr($0, 1, RLENGTH); $0 = substr($0, RLENGTH + 1)
                if (match(options, /signed-by=[^] \t]+/)) key = substr(options, RSTART + 10, RLENGTH - 10)
            }
            sub(/#.*/, "")
            n = split($0, words, " ")
            for (i = 3; i <= n; i++) components = components (i > 3 ? " " : "") words[i]
            if (words[1] !~ /^cdrom:/) archive(words[1], words[2], components, key)
        }
        FNR == 1 { stanza() }
        FILENAME !~ /\.sources$/ { if (/^deb[ \t]/) one_line(); next }
        /^#/ { next }
        /^[ \t]*$/ { stanza(); next }
        # A key written out in the stanza goes on over several lines; apt knows the archive keys without it.
        /^[ \t]/ { if (name != "signed-by") field[name] = field[name] $0; next }
        { name = tolower($0); sub(/:.*/, "", name); sub(/^[^:]*:[ \t]*/, ""); sub(/[ \t]+$/, ""); field[name] = $0 }
        END { stanza() }
    ' "${files[@]}"
}

# The backports stanza of release $1, derived from its main archive; fails when no archive is configured.
backports_stanza() {
    local uri suite components key
    while IFS=$'\t' read -r uri suite components key; do
        [ "$suite" = "$1" ] || continue
        printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n' "$uri" "$1"
        [ "$key" = - ] || printf 'Signed-By: %s\n' "$key"
        return 0
    done < <(debian_archives "$1")
    return 1
}

# The members of PACKAGES that are absent or too old, as `package=version` or `package`.
missing_packages() {
    local name state version wanted installed least
    declare -A have=()
    while read -r name state version; do
        [ "$state" = installed ] && have[${name%%:*}]=$version
    done < <(dpkg-query -W -f '${Package} ${db:Status-Status} ${Version}\n' "${PACKAGES[@]%%=*}" 2>/dev/null)
    for wanted in "${PACKAGES[@]}"; do
        installed=${have[${wanted%%=*}]:-}
        [[ $wanted == *=* ]] && least=${wanted#*=} || least=0
        dpkg --compare-versions "${installed:-0~}" ge "$least" || printf '%s\n' "$wanted"
    done
}

# Run quietly; show what was said only when it failed.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" = 0 ] || { cat "$log" >&2; say "this failed: $*" >&2; }
    rm -f "$log"
    return "$status"
}

# apt-get over the Debian archives only (all sources when none was recognised, as on a derivative).
debian_apt() {
    local options=(-q -y -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2)
    if [ -s "$WORK/archives.list" ]; then
        options+=(-o "Dir::Etc::SourceList=$WORK/archives.list" -o Dir::Etc::SourceParts=- -o APT::Get::List-Cleanup=0)
    fi
    DEBIAN_FRONTEND=noninteractive quietly apt-get "${options[@]}" "$@"
}

# Make sure that release $1 has a backports suite.
add_backports() {
    debian_archives "$1" | cut -f 2 | grep -qx "$1-backports" && return
    local target=$APT_DIR/sources.list.d/lucos-backports.sources
    if backports_stanza "$1" >"$WORK/backports"; then
        say "adding the $1-backports suite ($target)"
        install -m 0644 "$WORK/backports" "$target"
    elif ! grep -rqsE "^[^#]*[ /]$1-backports( |$)" "$APT_DIR"/sources.list "$APT_DIR"/sources.list.d; then
        fail "no Debian archive of $1 recognised in $APT_DIR: add its suite $1-backports there and run this again"
    fi
}

list_archives() {
    local uri suite components key
    while IFS=$'\t' read -r uri suite components key; do
        [ "$key" = - ] && key="" || key="[signed-by=$key] "
        printf 'deb %s%s %s %s\n' "$key" "$uri" "$suite" "$components"
    done < <(debian_archives "$1")
}

install_packages() {
    local codename=$1 from_release=() newer=()
    shift
    for package in "$@"; do
        if [ "$codename" = bookworm ] && [[ $package == *=* ]]; then
            newer+=("${package%%=*}")
        else
            from_release+=("${package%%=*}")
        fi
    done
    [ ${#newer[@]} = 0 ] || add_backports "$codename"
    list_archives "$codename" >"$WORK/archives.list"
    say "reading the package lists"
    debian_apt update
    if [ ${#from_release[@]} -gt 0 ]; then
        say "installing ${from_release[*]}"
        debian_apt install --no-install-recommends "${from_release[@]}"
    fi
    if [ ${#newer[@]} -gt 0 ]; then
        say "installing from $codename-backports: ${newer[*]}"
        debian_apt install --no-install-recommends -t "$codename-backports" "${newer[@]}"
    fi
}

main() {
    local missing
    if ! command -v apt-get >/dev/null; then
        say "not a Debian system: install the equivalents of these yourself: ${PACKAGES[*]%%=*}"
        return
    fi
    mapfile -t missing < <(missing_packages)
    if [ "$(id -u)" != 0 ]; then
        [ ${#missing[@]} = 0 ] || say "not root, so these stay missing (needed for real VMs): ${missing[*]%%=*}"
        return
    fi
    # Package lists are wanted even then: the mini guest's kernel is fetched as a package.
    if [ ${#missing[@]} = 0 ] && compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null; then return; fi
    WORK=$(mktemp -d)
    trap 'rm -rf "$WORK"' EXIT
    # shellcheck source=/dev/null
    install_packages "$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")" "${missing[@]}"
    mapfile -t missing < <(missing_packages)
    [ ${#missing[@]} = 0 ] || fail "still missing or too old after installation: ${missing[*]}"
    say "system packages are ready ($SECONDS s)"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then main "$@"; fi
