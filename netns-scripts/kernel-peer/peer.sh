# shellcheck shell=bash disable=SC2034  # lib.sh uses what is unused here
# The kernel peer takes the cloud's place in the scenario's network: a virtual machine whose ESP is the Linux kernel's, raw (protocol 50). Sourced
# after lib.sh by the scenarios that want it.
#
#   internet                cloud (two bridges)              ecs
#   dc0 ---- wan0 - br-wan - tap-wan | machine | tap-vpc - br-vpc - vpc0 ---- eth0
#                              eth0 203.0.113.21   172.16.0.1 eth1
#
# It is emulated (TCG) so that it runs anywhere, hence for correctness and not for speed. strongSwan in it listens for swanctl on the VPC's side.

readonly KERNEL_PEER_PACKAGES=(qemu-system-x86 busybox-static cpio kmod)

# kernel_peer_build: the machine's kernel and initrd, kept until their recipe or one of Debian's packages changes. IMAGE is their directory.
kernel_peer_build() {
    local recipe
    need "${KERNEL_PEER_PACKAGES[@]}"
    recipe=$(cat "$SCRIPTS"/kernel-peer/{build,init,strongswan.conf} <(apt-cache depends linux-image-cloud-amd64) \
        <(dpkg-query -W busybox-static strongswan-charon libstrongswan libstrongswan-standard-plugins) | sha256sum)
    IMAGE=$REPO/target/kernel-peer/${recipe:0:16}
    [[ ! -e $IMAGE/initrd ]] || return 0
    mkdir -p "${IMAGE%/*}"
    rm -rf -- "$REPO"/target/kernel-peer/*
    "$SCRIPTS/kernel-peer/build" "$IMAGE.$$"
    mv -T "$IMAGE.$$" "$IMAGE"
}

# kernel_peer_up: the cloud's namespace gives its addresses to the machine and becomes the cables to it.
kernel_peer_up() {
    local device
    kernel_peer_build
    on cloud ip addr flush dev wan0
    on cloud ip addr flush dev vpc0
    for device in wan vpc; do
        on cloud ip tuntap add "tap-$device" mode tap
        on cloud ip link add "br-$device" type bridge
        on cloud ip link set "${device}0" master "br-$device"
        on cloud ip link set "tap-$device" master "br-$device" up
        on cloud ip link set "br-$device" up
    done
    SWANCTL_FROM=ecs VICI=tcp://172.16.0.1:4502 ENCAP=no
    strongswan_config cloud
    kernel_peer_start
}

# kernel_peer_start: switches the machine on and gives it the configuration in $RUN/cloud.
kernel_peer_start() {
    start kernel-peer cloud qemu-system-x86_64 -nodefaults -no-reboot -display none -serial stdio \
        -machine q35,accel=tcg -cpu max -m 256 \
        -kernel "$IMAGE/vmlinuz" -initrd "$IMAGE/initrd" -append 'console=ttyS0 quiet panic=-1 random.trust_cpu=on' \
        -device virtio-rng-pci \
        -netdev tap,id=wan,ifname=tap-wan,script=no,downscript=no -device virtio-net-pci,netdev=wan \
        -netdev tap,id=vpc,ifname=tap-vpc,script=no,downscript=no -device virtio-net-pci,netdev=vpc
    eventually 60 "the kernel peer is there" strongswan_load cloud
}

# kernel_peer_cut: takes its power away; nobody is told.
kernel_peer_cut() { if stop kernel-peer KILL; then fail "the kernel peer ended well although it was killed"; fi; }
