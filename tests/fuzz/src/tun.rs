//! Packets that the kernel hands to the TUN device: from whoever is behind the gateway.

use arbitrary::{Result, Unstructured};
use tandem::ip::{self, Header};

use crate::worlds::tunnel::{Link, pair, udp};

/// Packets of one input.
const MOST_PACKETS: usize = 48;

/// Reads packets off the input and sends them through the tunnel. Everything sealed fits the path and opens at the other end, as a packet
/// between the two networks; nothing is lost that is not counted.
pub fn tun(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let Ok(shape) = input.arbitrary::<u8>() else { return };
    let link = Link { in_udp: shape & 1 != 0, max_inner: if shape & 2 == 0 { 1438 } else { 576 }, ..Link::default() };
    let (mut a, mut b) = pair(1, link);
    let mut sent = 0;
    while !input.is_empty() && sent < MOST_PACKETS {
        let Ok(packets) = batch(&mut input) else { break };
        sent += packets.len();
        a.now_ms += 7;
        let (wires, returned) = a.seal(&packets);
        for packet in &returned {
            let header = Header::parse(packet).expect("what goes back to the kernel is an IP packet");
            assert_eq!(header.total_len, packet.len());
        }
        let delivered = b.open(&wires);
        assert_eq!(delivered.len(), wires.len(), "what one end seals the other delivers: {:?} {:?}", b.dropped(), packets);
        for packet in &delivered {
            let header = Header::parse(packet).expect("an IP packet");
            assert_eq!(header.total_len, packet.len());
            assert!(packet.len() <= link.max_inner, "{} bytes do not fit the path", packet.len());
        }
    }
    let dropped: u64 = a.dropped().iter().map(|&(_, count)| count).sum();
    let sealed = a.tables.connections[0].counters.outbound.packets();
    assert!(dropped + sealed >= sent as u64, "{dropped} dropped and {sealed} sealed of {sent}");
    assert_eq!(b.dropped(), [], "the other end drops nothing");
}

fn batch(input: &mut Unstructured<'_>) -> Result<Vec<Vec<u8>>> {
    let count = 1 + input.arbitrary::<u8>()? % 8;
    (0..count).map(|_| packet(input)).collect()
}

/// The bytes as they are, or as the header and the first bytes of a longer packet whose checksum and length are right.
fn packet(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (kind, len): (u8, u8) = input.arbitrary()?;
    let mut packet = input.bytes(usize::from(len).min(input.len()))?.to_vec();
    if kind & 1 != 0 && packet.len() >= 20 {
        packet.resize(packet.len() + usize::from(kind >> 3) * 64, kind);
        let whole = packet.len() as u16;
        match packet[0] >> 4 {
            4 => {
                packet[2..4].copy_from_slice(&whole.to_be_bytes());
                let header = usize::from(packet[0] & 15) * 4;
                if (20..=packet.len()).contains(&header) {
                    ip::set_v4_checksum(&mut packet[..header]);
                }
            }
            6 if packet.len() >= 40 => packet[4..6].copy_from_slice(&(whole - 40).to_be_bytes()),
            _ => {}
        }
    }
    Ok(packet)
}

const CLIENT: [u8; 4] = [192, 168, 0, 10];
const ECS: [u8; 4] = [172, 16, 1, 10];

/// Packets between the two networks, one of every kind that the path treats in a way of its own, and some that it drops.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let v4 = |protocol: u8, fragment: u16, payload: &[u8]| {
        let mut packet = udp(CLIENT, ECS, (0, 0), 28);
        packet.truncate(20);
        packet[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet[9] = protocol;
        ip::set_v4_checksum(&mut packet);
        packet.extend_from_slice(payload);
        packet
    };
    let tcp_syn = [0x13, 0x88, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4];
    let echo = [8, 0, 0xf7, 0xfc, 0, 1, 0, 2];
    let mut with_options = v4(17, 0, &[0; 28]);
    with_options[0] = 0x47;
    ip::set_v4_checksum(&mut with_options[..28]);
    let mut v6 = vec![0x60, 0, 0, 0, 0, 16, 0, 64];
    v6.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    v6.extend([17, 0, 1, 4, 0, 0, 0, 0, 0, 53, 0, 53, 0, 8, 0, 0]);
    vec![
        udp(CLIENT, ECS, (5000, 53), 60),
        udp(ECS, CLIENT, (53, 5000), 60),
        udp([10, 0, 0, 1], ECS, (53, 5000), 40),
        v4(6, 0, &tcp_syn),
        v4(6, 0x4000, &tcp_syn),
        v4(1, 0, &echo),
        v4(17, 0x2000, &[7; 48]),
        v4(17, 0x2006, &[7; 48]),
        v4(17, 6, &[7; 30]),
        v4(6, 1, &tcp_syn),
        v4(50, 0, &[1; 40]),
        with_options,
        v6,
        vec![0x45],
    ]
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (n, packet) in (0_u8..).zip(samples()) {
        for kind in [0, 1, 0x89, 0xf9] {
            seeds.push([&[n & 3, 0, kind, packet.len() as u8], &packet[..]].concat());
        }
    }
    let all: Vec<u8> = samples().iter().flat_map(|packet| [&[0, packet.len() as u8], &packet[..]].concat()).collect();
    seeds.push([&[0, 7], &all[..]].concat());
    seeds
}
