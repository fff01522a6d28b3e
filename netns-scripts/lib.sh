# shellcheck shell=bash disable=SC2034  # the scripts that source this use what is unused here
# The network of the scenario on the real kernel, as verbs. Sourced by the demo and by every scenario.
#
#                           onprem                       internet                      cloud
#                      .-------------.              .----------------.            .--------------.
#   client ------ lan0 |             | ge1 ---- up1 | 198.51.100.1   |            |              | vpc0 ------ ecs
#   192.168.0.10       | 192.168.0.1 | 198.51.100.20|                | dc0 - wan0 |              |             172.16.1.10
#                      | 192.168.0.2 |              |    203.0.113.1 |            | 203.0.113.21 | 172.16.0.1  172.16.10.1
#                      |             | ge2 ---- up2 | 192.0.2.1      |            |              |             172.16.20.1
#                      '-------------' 192.0.2.40   '----------------'            '--------------'
#
# A host is a network namespace with a /run of its own, so several daemons of one kind live side by side, and so do several runs
# of these scripts: every name carries the run's process id. Whatever happens, everything made here is removed at exit; only
# processes inside these namespaces and those started by `start` are ended.

set -Eeuo pipefail
shopt -s inherit_errexit
export LC_ALL=C

# What the network itself needs, as Debian packages; `need` installs what is missing.
readonly NETWORK_PACKAGES=(iproute2 iputils-ping nftables iperf3 jq procps)
need() {
    local package missing=()
    for package in "$@"; do
        if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then missing+=("$package"); fi
    done
    (( ${#missing[@]} )) || return 0
    printf 'installing %s\n' "${missing[*]}"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends "${missing[@]}" >/dev/null
}

need_root() { (( EUID == 0 )) || { echo "$0 makes network namespaces: run it as root" >&2; exit 2; }; }

# The two programs the network runs, built once.
build() {
    command -v cargo >/dev/null || { echo "cargo is missing: install Rust $(sed -n 's/^rust-version *= "\(.*\)"/\1/p' "$REPO/Cargo.toml") or newer with https://rustup.rs" >&2; exit 2; }
    command -v cc >/dev/null || need gcc libc6-dev
    (cd "$REPO" && cargo build --release --locked --quiet -p tandem -p tandem-testbed)
}

readonly HOSTS=(client onprem internet cloud ecs)
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly REPO
readonly SCRIPTS=$REPO/netns-scripts
readonly TANDEM=${TANDEM:-$REPO/target/release/tandem}
readonly TESTBED=${TESTBED:-$REPO/target/release/testbed}
readonly PREFIX=t$$-
readonly RUN=/tmp/tandem-$$
readonly ONPREM1=198.51.100.20 ONPREM2=192.0.2.40 CLOUD=203.0.113.21 CLIENT=192.168.0.10 ECS=172.16.1.10

declare -A PIDS=()    # name -> process id of what `start` started
BEGUN=$EPOCHREALTIME

# ---------------------------------------------------------------------------------------------- saying and expecting

# Milliseconds since the script began.
now_ms() { local t=$EPOCHREALTIME; echo $(( (${t/./} - ${BEGUN/./}) / 1000 )); }

say() { printf '  %s\n' "$*"; }
ok() { printf '  ok    %s\n' "$*"; }

fail() {
    printf '  FAIL  %s\n' "$*"
    exit 1
}

# A command that fails outside `expect` is a fault of the scenario: tells its line there.
on_error() {
    local line=$1
    if (( ${#BASH_LINENO[@]} > 2 )); then line=${BASH_LINENO[-2]}; fi
    printf '  FAIL  %s line %s: %s\n' "${0##*/}" "$line" "$2"
}

# Like `fail`, also where only a subshell would end: in a command substitution.
fail_from_below() {
    printf '  FAIL  %s\n' "$*" >&2
    kill -TERM $$
    exit 1
}

# expect WHAT COMMAND...: the command succeeds now.
expect() {
    local what=$1; shift
    if "$@"; then ok "$what"; else fail "$what (did not hold: $*)"; fi
}

# expect_not WHAT COMMAND...: the command fails now.
expect_not() {
    local what=$1; shift
    if "$@"; then fail "$what (held, and should not: $*)"; else ok "$what"; fi
}

# eventually SECONDS WHAT COMMAND...: the command succeeds within SECONDS; says after how long.
eventually() {
    local seconds=$1 what=$2 begun; shift 2
    begun=$(now_ms)
    until "$@"; do
        if (( $(now_ms) - begun > ${seconds%.*} * 1000 )); then fail "$what (not within $seconds s: $*)"; fi
        sleep 0.05
    done
    ok "$what (after $(( $(now_ms) - begun )) ms)"
}

# stays SECONDS WHAT COMMAND...: the command succeeds all the time for SECONDS.
stays() {
    local seconds=$1 what=$2 begun; shift 2
    begun=$(now_ms)
    while (( $(now_ms) - begun < seconds * 1000 )); do
        if ! "$@"; then fail "$what (ceased after $(( $(now_ms) - begun )) ms: $*)"; fi
        sleep 0.1
    done
    ok "$what (for $seconds s)"
}

# Comparisons of decimal numbers, for `expect`.
at_most() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 <= b + 0) }'; }
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 >= b + 0) }'; }
between() { at_least "$1" "$2" && at_most "$1" "$3"; }
same() { [[ $1 == "$2" ]]; }
calc() { awk "BEGIN { printf \"%.${2:-1}f\", $1 }"; }

# ---------------------------------------------------------------------------------------------- hosts and processes

# enter HOST COMMAND...: becomes the command there; a background job's process id is then the command's own.
enter() {
    local host=$1; shift
    # shellcheck disable=SC2016  # the inner shell expands these
    exec ip netns exec "$PREFIX$host" sh -c 'mount --bind "$0" /run && exec "$@"' "$RUN/$host/run" "$@"
}

# on HOST COMMAND...: runs there.
on() { (enter "$@"); }

# start NAME HOST COMMAND...: runs there in the background; what it prints goes to $RUN/HOST/NAME.log.
start() {
    local name=$1 host=$2; shift 2
    enter "$host" "$@" >>"$RUN/$host/$name.log" 2>&1 </dev/null &
    PIDS[$name]=$!
}

running() { [[ -n ${PIDS[$1]:-} ]] && kill -0 "${PIDS[$1]}" 2>/dev/null; }

# stop NAME [SIGNAL]: ends it and waits; its exit status is this one's. After 10 s it is killed, and the status says so.
stop() {
    local name=$1 signal=${2:-TERM} pid=${PIDS[$1]:-} status=0 begun
    [[ -n $pid ]] || return 0
    unset "PIDS[$name]"
    begun=$(now_ms)
    {   # bash tells of every job that died by a signal; here that is no news
        if kill -0 "$pid"; then kill "-$signal" "$pid"; fi
        while kill -0 "$pid"; do
            if (( $(now_ms) - begun > 10000 )); then kill -KILL "$pid"; fi
            sleep 0.02
        done
        wait "$pid" || status=$?
    } 2>/dev/null
    return "$status"
}

# finish NAME: waits until it ends by itself; its exit status is this one's.
finish() {
    local pid=${PIDS[$1]}
    unset "PIDS[$1]"
    wait "$pid"
}

logged() { grep -Eq -- "$3" "$RUN/$1/$2.log"; }

cleanup() {
    local status=$? host pid name
    trap '' INT TERM
    trap - EXIT ERR
    set +e
    if (( status != 0 )); then evidence; fi
    exec 2>/dev/null    # bash tells of every job that dies by a signal
    for name in "${!PIDS[@]}"; do kill -TERM "${PIDS[$name]}" 2>/dev/null; done
    for host in "${HOSTS[@]}"; do
        [[ -e /run/netns/$PREFIX$host ]] || continue
        for pid in $(ip netns pids "$PREFIX$host"); do kill -KILL "$pid" 2>/dev/null; done
    done
    wait 2>/dev/null
    for host in "${HOSTS[@]}"; do
        if [[ -e /run/netns/$PREFIX$host ]]; then ip netns del "$PREFIX$host"; fi
    done
    if [[ -n ${KEEP_LOGS:-} ]]; then mkdir -p "$KEEP_LOGS" && cp -r "$RUN/." "$KEEP_LOGS/"; fi
    rm -rf -- "$RUN"
    exit "$status"
}

# What a reader of a failed run wants to see.
evidence() {
    local log host
    for host in onprem cloud; do
        if running "tandem-$host"; then
            printf -- '---- status of %s\n' "$host"
            tandem "$host" status --json 2>&1 | jq -c '.connections[], .tracks[], .routes[], .drops' 2>&1 | head -40
        fi
    done
    for log in "$RUN"/*/{tandem,charon}*.log; do
        [[ -s $log ]] || continue
        printf -- '---- %s, the last lines\n' "${log#"$RUN"/}"
        tail -n 20 "$log"
    done
}

# ---------------------------------------------------------------------------------------------- the network

network_up() {
    local host
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'on_error "$LINENO" "$BASH_COMMAND"' ERR
    mkdir -p "$RUN"
    : >"$RUN/swanctl.conf"
    for host in "${HOSTS[@]}"; do
        mkdir -p "$RUN/$host/run"
        ip netns add "$PREFIX$host"
        on "$host" sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
            net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=100000 net.ipv6.conf.all.disable_ipv6=1
        on "$host" ip link set lo up
    done
    for host in onprem internet cloud; do on "$host" sysctl -qw net.ipv4.ip_forward=1; done

    cable client eth0 192.168.0.10/24    onprem lan0 192.168.0.1/24
    cable onprem ge1  198.51.100.20/24   internet up1 198.51.100.1/24
    cable onprem ge2  192.0.2.40/24      internet up2 192.0.2.1/24
    cable cloud  wan0 203.0.113.21/24    internet dc0 203.0.113.1/24
    cable ecs    eth0 172.16.1.10/16     cloud vpc0 172.16.0.1/16
    on onprem ip addr add 192.168.0.2/24 dev lan0
    on ecs ip addr add 172.16.10.1/32 dev eth0
    on ecs ip addr add 172.16.20.1/32 dev eth0

    on client ip route add default via 192.168.0.1
    on ecs ip route add default via 172.16.0.1
    on cloud ip route add default via 203.0.113.1
    on onprem ip rule add from "$ONPREM1" lookup 101
    on onprem ip rule add from "$ONPREM2" lookup 102
    uplink_routes 1
    uplink_routes 2
    # A leak must be seen, not swallowed by an internet that knows no private addresses: it routes them both ways.
    on internet ip route add 172.16.0.0/16 via "$CLOUD"
    on internet ip route add 192.168.0.0/24 via "$ONPREM1"
    on internet nft -f - <<'NFT'
table ip faults {
    chain forward { type filter hook forward priority 0; }
}
NFT
}

# cable HOST1 DEVICE1 ADDRESS1 HOST2 DEVICE2 ADDRESS2
cable() {
    ip link add "$2" netns "$PREFIX$1" type veth peer name "$5" netns "$PREFIX$4"
    on "$1" ip addr add "$3" dev "$2"
    on "$4" ip addr add "$6" dev "$5"
    on "$1" ip link set "$2" up
    on "$4" ip link set "$5" up
}

# The routes an uplink brings. Linux drops them with the link; an administrator's network manager would restore them like this.
uplink_routes() {
    case $1 in
    1) on onprem ip route replace default via 198.51.100.1 dev ge1 metric 100
       on onprem ip route replace default via 198.51.100.1 dev ge1 table 101 ;;
    2) on onprem ip route replace default via 192.0.2.1 dev ge2 metric 200
       on onprem ip route replace default via 192.0.2.1 dev ge2 table 102 ;;
    esac
}

uplink_down() { on onprem ip link set "ge$1" down; }
uplink_up() { on onprem ip link set "ge$1" up; uplink_routes "$1"; }

# Faults in the internet. Each is silent: no link goes down, no ICMP comes back.
fault() { on internet nft add rule ip faults forward "$@"; }
blackhole() { fault iifname "up$1" drop; fault oifname "up$1" drop; }
loss() { fault numgen random mod 100 '<' "$1" drop; }
heal() { on internet nft flush chain ip faults forward; }

# nat UPLINK ADDRESS: the internet rewrites what comes by this uplink to ADDRESS and another source port.
nat() {
    on internet nft -f - <<NFT
table ip nat$1 {
    chain post { type nat hook postrouting priority 100
        iifname "up$1" oifname "dc0" udp dport { 500, 4500 } snat to $2:20000-29999
        iifname "up$1" oifname "dc0" snat to $2
    }
}
NFT
}

# count HOST NAME HOOK RULE...: counts packets at the start of an IPv4 hook; read with `counted HOST NAME`.
count() {
    local host=$1 name=$2 hook=$3; shift 3
    on "$host" nft -f - <<NFT
table ip count_$name {
    counter hits { }
    chain c { type filter hook $hook priority -250
        $* counter name hits
    }
}
NFT
}
counted() { on "$1" nft -j list counters table ip "count_$2" | jq -e '[.nftables[].counter // empty | .packets] | add' || fail_from_below "no counter $2 on $1"; }
counted_is() { (( $(counted "$1" "$2") == $3 )); }
counted_more_than() { (( $(counted "$1" "$2") > $3 )); }

# pings HOST ADDRESS [PING-OPTION...]: an echo comes back within a second.
pings() {
    local host=$1 address=$2; shift 2
    on "$host" ping -q -c 1 -i 0.2 -W 1 "$@" "$address" >/dev/null
}

# ---------------------------------------------------------------------------------------------- tandem

# config HOST [SED-SCRIPT...]: examples/HOST.toml as $RUN/HOST/tandem.toml, edited. A script that changes nothing is an error of the scenario.
config() {
    local host=$1 script file=$RUN/$1/tandem.toml before; shift
    install -m 0600 "$REPO/examples/$host.toml" "$file"
    for script in "$@"; do
        before=$(<"$file")
        sed -E -i "$script" "$file"
        [[ $before != "$(<"$file")" ]] || fail "the edit '$script' changes nothing in $host.toml"
    done
}

# append HOST: adds standard input to its configuration.
append() { cat >>"$RUN/$1/tandem.toml"; }

# Timers of 200 ms instead of the document's, for `config`.
readonly FAST_TRACK='s/^frequency .*/frequency  = "200ms"/; s/^timeout .*/timeout    = "200ms"/'
readonly FAST_HEALTH='s/interval = "3s"/interval = "200ms"/'

# tandem HOST ARGUMENTS...: the command line there, with that host's configuration for what needs the daemon.
tandem() {
    local host=$1 command=$2; shift 2
    on "$host" "$TANDEM" "$command" -c "$RUN/$host/tandem.toml" "$@"
}

# tandem_start HOST [SED-SCRIPT...]: writes the configuration, starts tandem and waits until it answers.
tandem_start() {
    config "$@"
    tandem_again "$1"
}

# tandem_again HOST: starts it with the configuration it has.
tandem_again() {
    local host=$1
    start "tandem-$host" "$host" "$TANDEM" run -c "$RUN/$host/tandem.toml"
    eventually 5 "tandem answers on $host" answers "$host"
}

# tandem_gives_up HOST: starts it expecting that it ends by itself; the exit status is in GAVE_UP, what it said in its log.
tandem_gives_up() {
    local host=$1
    GAVE_UP=0
    on "$host" timeout 10 "$TANDEM" run -c "$RUN/$host/tandem.toml" >>"$RUN/$host/tandem-refused.log" 2>&1 </dev/null || GAVE_UP=$?
}

tandem_stop() { stop "tandem-$1"; }
tandem_kill() { if stop "tandem-$1" KILL; then fail "tandem on $1 ended well although it was killed"; else ok "tandem on $1 is killed"; fi; }

answers() {
    running "tandem-$1" || fail "tandem on $1 ended: $(tail -n 3 "$RUN/$1/tandem-$1.log")"
    tandem "$1" status --json >/dev/null 2>&1
}

# status HOST FILTER: a jq filter over `tandem status --json`.
readonly JQ_WORDS='def connection($n): .connections[] | select(.name == $n);
    def up: .state == "ipsec_sa_established";
    def route($d; $c): .routes[] | select(.destination == $d and .connection == $c);
    def active: route("172.16.0.0/16"; "conn1", "conn2") | select(.state == "active") | .connection;
    def cloud_active: route("192.168.0.0/24"; "conn1", "conn2") | select(.state == "active") | .connection;
    def packets($n): connection($n) | .packets_in + .packets_out;'
status() { tandem "$1" status --json | jq -r "$JQ_WORDS $2" || fail_from_below "no status of $1: $2"; }
# holds HOST CONDITION: the jq condition is true now.
holds() { tandem "$1" status --json 2>/dev/null | jq -e "$JQ_WORDS $2" >/dev/null; }

dropped() { status "$1" ".drops.$2"; }
dropped_more_than() { holds "$1" ".drops.$2 > $3"; }

# both_up: both connections are up on both ends and traffic takes connection 1 each way.
both_up() {
    eventually "${1:-10}" "both connections are up on premises" holds onprem 'all(.connections[]; up)'
    eventually 2 "both connections are up in the cloud" holds cloud 'all(.connections[]; up)'
}
up_on_both() { holds onprem 'all(.connections[]; up)' && holds cloud 'all(.connections[]; up)'; }
one_up_on_both() { holds onprem 'connection("conn1") | up' && holds cloud 'connection("conn1") | up'; }
settled() {
    both_up "$@"
    eventually 10 "on premises the traffic goes through connection 1" holds onprem 'active == "conn1"'
    eventually 10 "in the cloud the traffic goes through connection 1" holds cloud 'cloud_active == "conn1" and all(.connections[]; .health == "success")'
}

# ---------------------------------------------------------------------------------------------- streams

# stream_start NAME RATE [OPTION...]: a steady stream of numbered datagrams from client to ECS and, with --both, another the other way.
stream_start() {
    local name=$1 rate=$2; shift 2
    "$TESTBED" stream --from "$PREFIX"client="$CLIENT" --to "$PREFIX"ecs="$ECS" --rate "$rate" "$@" >"$RUN/$name.json" 2>"$RUN/client/$name.log" &
    PIDS[$name]=$!
}
stream_stop() { stop "$1" || fail "the stream $1 did not end well: $(<"$RUN/client/$1.log")"; }
stream_ended() { ! running "$1"; }
# stream NAME FILTER: of its result, directions `there` (client to ECS) and `back`.
stream() { jq -r "$2" "$RUN/$1.json" || fail_from_below "no result of stream $1"; }

# iperf NAME [OPTION...]: one TCP stream from client to ECS; prints bits per second received.
iperf() {
    local port=5201 out
    start iperf3-server ecs iperf3 -s -1 -p $port
    eventually 3 "iperf3 listens on ecs" listens ecs $port >/dev/null
    out=$(on client iperf3 -c "$ECS" -p $port -J "$@")
    finish iperf3-server
    jq '.end.sum_received.bits_per_second | floor' <<<"$out"
}
listens() { [[ -n $(on "$1" ss -Hltn "sport = :$2") ]]; }

# ---------------------------------------------------------------------------------------------- captures

# capture_start NAME HOST DEVICE [FILTER]; capture_stop NAME leaves $RUN/NAME.pcap.
capture_start() {
    local name=$1 host=$2 device=$3; shift 3
    start "$name" "$host" tcpdump -i "$device" -U --immediate-mode -s 0 -w "$RUN/$name.pcap" "$@"
    eventually 5 "capturing on $host $device" logged "$host" "$name" 'listening on' >/dev/null
}
capture_stop() { sleep 0.2; stop "$1"; }

# frames NAME DISPLAY-FILTER [TSHARK-OPTION...]: how many frames match.
frames() {
    local name=$1 filter=$2; shift 2
    tshark -r "$RUN/$name.pcap" -Y "$filter" "$@" 2>/dev/null | wc -l
}

# complaints NAME [TSHARK-OPTION...]: what tshark finds wrong with ISAKMP, ESP and their carriers.
complaints() {
    local name=$1; shift
    tshark -r "$RUN/$name.pcap" "$@" -Y '(isakmp || esp || udpencap) && (_ws.malformed || _ws.expert.severity >= "Warning")' \
        -T fields -e frame.number -e _ws.col.Info -e _ws.expert.message 2>/dev/null
}

# ---------------------------------------------------------------------------------------------- strongSwan

# strongswan_config HOST: writes its side of one connection. Variables: IKE, ESP, PSK (a string or 0x with hexadecimal digits), LOCAL_TS, REMOTE_TS,
# UPLINK (1 or 2), ENCAP (yes or no), IKE_LIFE and ESP_LIFE (seconds until it rekeys), DPD.
strongswan_config() {
    local host=$1 here there here_net there_net secret device=$ONPREM1
    [[ ${UPLINK:-1} == 1 ]] || device=$ONPREM2
    case $host in
    onprem) here=$device there=$CLOUD here_net=192.168.0.0/24 there_net=172.16.0.0/16 ;;
    cloud)  here=$CLOUD there=$device here_net=172.16.0.0/16 there_net=192.168.0.0/24 ;;
    esac
    secret=${PSK:-fddsFF123****}
    [[ $secret == 0x* ]] || secret=\"$secret\"
    cat >"$RUN/$host/swanctl.conf" <<CONF
connections { peer { version = 1
    local_addrs = $here
    remote_addrs = $there
    proposals = ${IKE:-aes128-sha1-modp1024}
    encap = ${ENCAP:-yes}
    dpd_delay = ${DPD:-10s}
    rekey_time = ${IKE_LIFE:-24h}
    local { auth = psk }
    remote { auth = psk }
    children { net {
        local_ts = ${LOCAL_TS:-$here_net}
        remote_ts = ${REMOTE_TS:-$there_net}
        esp_proposals = ${ESP:-aes128-sha1-modp1024}
        rekey_time = ${ESP_LIFE:-24h}
    } }
} }
secrets { ike-peer { secret = $secret } }
CONF
}

# strongswan_start HOST: charon with userspace ESP (kernel-libipsec) and the configuration written before.
strongswan_start() {
    local host=$1
    cat >"$RUN/$host/strongswan.conf" <<CONF
charon {
  load = random nonce openssl aes sha1 sha2 md5 hmac gmp kernel-libipsec kernel-netlink socket-default vici updown
  retransmit_tries = 3
  filelog { stderr { default = 1
    ike = 2 } }
  plugins { vici { socket = unix:///run/charon.vici } }
}
CONF
    start "charon-$host" "$host" env STRONGSWAN_CONF="$RUN/$host/strongswan.conf" /usr/lib/ipsec/charon
    eventually 10 "strongSwan loads its configuration on $host" strongswan_load "$host"
}
strongswan_load() { swanctl_on "$1" --load-all --file "$RUN/$1/swanctl.conf"; }
strongswan_initiate() { swanctl_on "$1" --initiate --child net --timeout 10; }
strongswan_stop() { stop "charon-$1"; }

# Where swanctl runs and how it reaches charon; the kernel peer changes both.
SWANCTL_FROM='' VICI=unix:///run/charon.vici
swanctl() {
    local host=${SWANCTL_FROM:-$1} verb=$2; shift 2
    on "$host" env STRONGSWAN_CONF="$RUN/swanctl.conf" swanctl "$verb" --uri "$VICI" "$@"
}
swanctl_on() { swanctl "$@" >>"$RUN/$1/swanctl.txt" 2>&1; }
strongswan_sas() { swanctl "$1" --list-sas; }
strongswan_up() { strongswan_sas "$1" 2>/dev/null | grep -q 'net:.*INSTALLED'; }
