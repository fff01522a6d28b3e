//! ESP packets: from anybody, and from a peer that holds the keys and breaks the agreement.

use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};
use arbitrary::{Result, Unstructured};
use hmac::Mac;
use tandem::ip::Header;
use tandem_esp::{Cipher, InboundSa, Integrity, OpenError, Packet, Suite};

use crate::worlds::tunnel::{Gateway, Link, Wire, keymat, pair};

/// Packets of one input.
const MOST_PACKETS: usize = 48;
const BLOCK: usize = 16;

/// Reads packets off the input. Each goes as it is to an SA of every kind of suite, which opens nothing; and then, sealed or made authentic
/// with its own trailer, to a packet path, which delivers only what the selectors permit.
pub fn esp(data: &[u8]) {
    let packets = packets(data);
    strangers(&packets);
    let (mut a, mut b) = pair(1, Link::default());
    let sequence = &mut 0;
    let wires: Vec<Wire> = packets.iter().filter_map(|(kind, bytes)| wire(&mut a, *kind, bytes, sequence)).collect();
    for wires in wires.chunks(7) {
        let delivered = b.open(wires);
        assert!(delivered.len() <= wires.len());
        delivered.iter().for_each(|packet| permitted(packet));
    }
    let dropped: u64 = b.dropped().iter().map(|&(_, count)| count).sum();
    let facts = &b.tables.inbound[0].facts;
    assert_eq!(
        dropped + facts.counters.inbound.packets(),
        wires.len() as u64,
        "every packet is delivered or counted as dropped: {:?}",
        b.dropped()
    );
}

fn packets(data: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut input = Unstructured::new(data);
    let next = |input: &mut Unstructured<'_>| -> Result<(u8, Vec<u8>)> {
        let (kind, len): (u8, u8) = input.arbitrary()?;
        let len = if kind & 0x80 == 0 { usize::from(len) } else { usize::from(len) * 8 };
        Ok((kind, input.bytes(len.min(input.len()))?.to_vec()))
    };
    let mut packets = Vec::new();
    while !input.is_empty() && packets.len() < MOST_PACKETS {
        match next(&mut input) {
            Ok(packet) => packets.push(packet),
            Err(_) => break,
        }
    }
    packets
}

/// None holds the keys, so nothing opens, nothing moves the replay window and nothing is written.
fn strangers(packets: &[(u8, Vec<u8>)]) {
    for (cipher, integrity) in [
        (Cipher::Aes128, Some(Integrity::HmacSha1_96)),
        (Cipher::Aes256, Some(Integrity::HmacSha512_256)),
        (Cipher::TripleDes, Some(Integrity::HmacMd5_96)),
        (Cipher::Aes256Gcm16, None),
    ] {
        let suite = Suite::new(cipher, integrity).expect("a suite that exists");
        let key: Vec<u8> = (0..suite.keymat_len() as u8).map(|byte| byte.wrapping_mul(151) ^ 0x5c).collect();
        let mut sa = InboundSa::new(0x100, suite, &key, 64).expect("a key of the right length");
        let mut arena = Vec::new();
        let mut places = Vec::new();
        for (_, bytes) in packets {
            places.push(Packet { start: arena.len(), len: bytes.len() });
            arena.extend_from_slice(bytes);
        }
        let before = (arena.clone(), places.clone());
        let mut results = vec![Ok(()); places.len()];
        sa.open_batch(&mut arena, &mut places, &mut results);
        assert!(results.iter().all(|result| matches!(result, Err(OpenError::Malformed | OpenError::BadIcv | OpenError::Replayed))));
        assert_eq!((arena, places), before, "{suite}: as it was");
        assert_eq!(sa.highest_sequence(), 0);
    }
}

/// A packet on the wire: the input as it is, as the inner packet of a well-made one, or as the plaintext of an authentic one.
fn wire(from: &mut Gateway, kind: u8, bytes: &[u8], sequence: &mut u32) -> Option<Wire> {
    let path = from.tables.connections[0].outbound[0].as_ref()?.path;
    let packet = match kind % 8 {
        0 => bytes.to_vec(),
        1 => {
            // The right SPI in front of anything.
            let spi = 0x2001_u32.to_be_bytes();
            [&spi, bytes].concat()
        }
        2..=4 => {
            let trailer: Vec<u8> = padding(bytes.len(), if bytes.first().is_some_and(|byte| byte >> 4 == 6) { 41 } else { 4 });
            *sequence += 1;
            authentic(*sequence, &[bytes, &trailer].concat())
        }
        _ => {
            // The sequence number may stand still or leap.
            *sequence = sequence.wrapping_add([1, 0, 100, 5000][usize::from(kind >> 3 & 3)]);
            authentic(*sequence, bytes)
        }
    };
    Some(Wire { bytes: packet, path, tos: kind >> 5 })
}

fn padding(len: usize, next_header: u8) -> Vec<u8> {
    let pad = (len + 2).next_multiple_of(BLOCK) - len - 2;
    (1..=pad as u8).chain([pad as u8, next_header]).collect()
}

/// AES-128-CBC with an IV of zeroes and HMAC-SHA-1-96, under the keys of packets to `b`. An incomplete last block is left away.
fn authentic(sequence: u32, plaintext: &[u8]) -> Vec<u8> {
    let keymat = keymat(1, 2);
    let (encryption, integrity) = keymat.split_at(16);
    let cipher = aes::Aes128::new_from_slice(encryption).expect("16 bytes");
    let mut packet = [0x2001_u32.to_be_bytes(), sequence.to_be_bytes()].concat();
    packet.resize(8 + BLOCK, 0);
    let mut chain = [0; BLOCK];
    for block in plaintext.chunks_exact(BLOCK) {
        chain.iter_mut().zip(block).for_each(|(byte, plain)| *byte ^= plain);
        let mut block = Array::from(chain);
        cipher.encrypt_block(&mut block);
        chain = block.into();
        packet.extend(chain);
    }
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(integrity).expect("any length");
    mac.update(&packet);
    packet.extend_from_slice(&mac.finalize().into_bytes()[..12]);
    packet
}

/// What reaches the TUN device is one whole IP packet between the two networks of the scenario.
fn permitted(packet: &[u8]) {
    let header = Header::parse(packet).expect("an IP packet");
    assert_eq!(header.total_len, packet.len(), "without anything behind it");
    let inside = |net: &str, address| net.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(&address));
    assert!(inside("192.168.0.0/24", header.source), "{}", header.source);
    assert!(inside("172.16.0.0/16", header.destination), "{}", header.destination);
}

/// One packet of every kind, as an inner packet, as authentic plaintext and as it is.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for packet in crate::tun::samples() {
        for kind in [0_u8, 1, 2, 5, 13] {
            let len = packet.len().min(255) as u8;
            let trailer = if kind == 5 { padding(packet.len(), 4) } else { Vec::new() };
            let whole = [&packet[..], &trailer].concat();
            let len = len.saturating_add(trailer.len() as u8);
            seeds.push([&[kind, len], &whole[..], &[kind, len], &whole[..]].concat());
        }
    }
    seeds
}
