# shellcheck shell=bash
# The matrix against strongSwan: {tandem initiates, strongSwan initiates} x six suites for main mode and ESP x {PFS in the same group, in another, none}.
# In each cell the tunnel comes up, pings pass both ways, a TCP stream passes, and strongSwan rekeys phase 2, then phase 1, then tandem rekeys both; after
# each of these tandem sends on an SPI that strongSwan holds and pings pass. One strongSwan serves all cells. Sourced after lib.sh.

# What tandem calls group N, strongSwan calls by its number of bits.
declare -rA MODP=([2]=1024 [5]=1536 [14]=2048 [16]=4096)
readonly SUITES=(aes128-sha1:2 aes256-sha256:14 aes192-sha1:5 3des-md5:2 aes128-sha384:14 aes256-sha512:16)

# matrix ENCAPSULATION: a third of the 36 cells, spread over all three axes; all of them with ALL=1 (`test --all`).
matrix() {
    local encapsulation=$1 suite pfs initiator cell=0 row begun
    for suite in "${SUITES[@]}"; do
        row=$((cell / 6))
        for pfs in same other none; do
            for initiator in tandem strongswan; do
                cell=$((cell + 1))
                if [[ ${ALL:-0} == 1 ]] || (( (cell - 1) % 3 == row % 3 )); then
                    begun=$(now_ms)
                    matrix_cell "$encapsulation" "${suite%:*}" "${suite#*:}" "$pfs" "$initiator"
                    ok "cell $cell of 36 (in $(( $(now_ms) - begun )) ms)"
                fi
            done
        done
    done
}

# matrix_cell ENCAPSULATION ALGORITHMS GROUP PFS INITIATOR
matrix_cell() {
    local encapsulation=$1 algorithms=$2 group=$3 pfs=$4 initiator=$5 pfs_group='' start=always role=initiator ike child
    case $pfs in
    same) pfs_group=$group ;;
    other) pfs_group=$((group == 14 ? 5 : 14)) ;;
    esac
    if [[ $initiator == strongswan ]]; then start=passive role=responder; fi
    say "$algorithms-group$group, PFS ${pfs_group:+group}${pfs_group:-disabled}, $initiator begins"
    IKE=$algorithms-modp${MODP[$group]} ESP=$algorithms${pfs_group:+-modp${MODP[$pfs_group]}} strongswan_config cloud
    expect "strongSwan takes the configuration" strongswan_load cloud
    tandem_start onprem "s/^ike .*/ike = { proposals = [\"$algorithms-group$group\"] }/" \
        "s/^esp .*/esp = { proposals = [\"$algorithms\"], pfs = \"${pfs_group:+group}${pfs_group:-disabled}\" }/" \
        "s/^start .*/start = \"$start\"/" '/"conn2"/,/^$/ s/^start .*/start  = "passive"/' >/dev/null
    if [[ $initiator == strongswan ]]; then expect "strongSwan brings the tunnel up" strongswan_initiate cloud; fi
    eventually 10 "it is up" holds onprem "connection(\"conn1\") | up and .role == \"$role\" and .encapsulation == \"$encapsulation\"
        and .ike_proposal == \"$algorithms-group$group\" and .children[0].esp_proposal == \"$algorithms\" and .children[0].pfs == \"${pfs_group:+group}${pfs_group:-disabled}\""
    carries
    expect "a TCP stream passes" at_least "$(iperf -n 500K)" 1e5

    ike=$(newest_ike) child=$(newest_child)
    expect "strongSwan rekeys phase 2" swanctl_on cloud --rekey --child net
    eventually 5 "it has a new IPsec SA" newer_child "$child"
    carries
    # The emulated one may hear our answer before it has noted its question; it repeats that after 4 s.
    expect "strongSwan rekeys phase 1" swanctl_on cloud --rekey --ike peer
    eventually 8 "it has a new ISAKMP SA" newer_ike "$ike"
    carries
    ike=$(newest_ike) child=$(newest_child)
    expect "tandem rekeys both phases" tandem onprem rekey conn1
    eventually 5 "strongSwan has both" both_newer "$ike" "$child"
    carries

    expect "tandem ends well" tandem_stop onprem
    eventually 5 "strongSwan holds nothing any more" strongswan_empty
}

carries() {
    eventually 5 "tandem sends on an SPI that strongSwan holds" spi_is_held
    expect "a ping from ECS reaches the client" pings ecs "$CLIENT"
    expect "a ping from the client reaches ECS" pings client "$ECS"
}

# The numbers strongSwan gives its SAs grow.
newest_ike() { strongswan_sas cloud | sed -nE 's/^peer: #([0-9]+), ESTABLISHED.*/\1/p' | sort -n | tail -n 1; }
newest_child() { strongswan_sas cloud | sed -nE 's/^ *net: #([0-9]+), .*INSTALLED.*/\1/p' | sort -n | tail -n 1; }
newer_ike() { local ike; ike=$(newest_ike) && (( ${ike:-0} > $1 )); }
newer_child() { local child; child=$(newest_child) && (( ${child:-0} > $1 )); }
both_newer() { newer_ike "$1" && newer_child "$2"; }
strongswan_empty() { [[ -z $(strongswan_sas cloud) ]]; }
spi_is_held() { strongswan_sas cloud | grep -q "^ *in *$(status onprem 'connection("conn1").children[0].spi_out')"; }
