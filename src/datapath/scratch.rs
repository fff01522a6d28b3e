//! Room in a batch's arena for the packets that the outbound path makes itself: fragments and "fragmentation needed".

use tandem_esp::{HEADROOM, Packet, TAILROOM};

use crate::ip::{self, Header, v4};

/// Hands out places behind all packets of the batch, each with head and tail room. The arena grows if it must, once: the next batch finds
/// the room there, and its places begin again behind its own packets.
pub(super) struct Scratch {
    next: usize,
}

impl Scratch {
    /// The room behind these packets.
    pub(super) fn behind(packets: &[Packet]) -> Self {
        Self { next: packets.iter().map(|p| p.start + p.len + TAILROOM).max().unwrap_or(0) }
    }

    /// A place for a packet of `len` bytes.
    pub(super) fn place(&mut self, arena: &mut Vec<u8>, len: usize) -> Packet {
        let place = Packet { start: self.next + HEADROOM, len };
        self.next = place.start + len + TAILROOM;
        if arena.len() < self.next {
            arena.resize(self.next, 0);
        }
        place
    }
}

/// Cuts an IPv4 packet into fragments of at most `limit` bytes (RFC 791 section 3.2) and names them in order; the first stays where the
/// packet was. Returns false, and does nothing, if no fragment that small can hold data.
pub(super) fn fragment(
    arena: &mut Vec<u8>,
    packet: Packet,
    header: &Header,
    limit: usize,
    scratch: &mut Scratch,
    mut emit: impl FnMut(Packet),
) -> bool {
    let step = limit.saturating_sub(header.header_len) & !7;
    if step == 0 {
        return false;
    }
    let data = packet.start + header.header_len..packet.start + header.total_len;
    let (mut later_header, later_len) = header_of_later_fragments(&arena[packet.start..data.start]);
    let whole = header.fragment.unwrap_or(ip::Fragment { offset: 0, more: false });

    let first = Packet { start: packet.start, len: header.header_len + step };
    finish(&mut arena[first.start..][..header.header_len], first.len, whole.offset, true);
    emit(first);
    for start in data.clone().step_by(step).skip(1) {
        let len = step.min(data.end - start);
        let place = scratch.place(arena, later_len + len);
        arena.copy_within(start..start + len, place.start + later_len);
        let more = whole.more || start + len < data.end;
        finish(&mut later_header[..later_len], place.len, whole.offset + (start - data.start), more);
        arena[place.start..][..later_len].copy_from_slice(&later_header[..later_len]);
        emit(place);
    }
    true
}

/// The longest IPv4 header: 15 words.
const MAX_HEADER: usize = 60;

/// The header with only those options that every fragment carries: their "copied" bit is set (RFC 791 section 3.1, "Options").
fn header_of_later_fragments(header: &[u8]) -> ([u8; MAX_HEADER], usize) {
    let mut copy = [0; MAX_HEADER];
    copy[..v4::MIN_LEN].copy_from_slice(&header[..v4::MIN_LEN]);
    let mut len = v4::MIN_LEN;
    let mut options = &header[v4::MIN_LEN..];
    loop {
        let option = match options {
            [1, rest @ ..] => {
                options = rest;
                continue;
            }
            [0, ..] | [_] | [] => break,
            [_, n, ..] => match options.split_at_checked(usize::from(*n)) {
                Some((option @ [_, _, ..], rest)) => {
                    options = rest;
                    option
                }
                _ => break,
            },
        };
        if option[0] & 0x80 != 0 {
            copy[len..len + option.len()].copy_from_slice(option);
            len += option.len();
        }
    }
    // What is left up to the whole word stays zero: end of options.
    let len = len.next_multiple_of(4);
    copy[v4::VERSION_IHL] = 0x40 | (len / 4) as u8;
    (copy, len)
}

fn finish(header: &mut [u8], total_len: usize, offset: usize, more: bool) {
    let field = (offset / 8) as u16 & v4::OFFSET_MASK | if more { v4::MF } else { 0 };
    header[v4::TOTAL_LENGTH].copy_from_slice(&(total_len as u16).to_be_bytes());
    header[v4::FRAGMENT].copy_from_slice(&field.to_be_bytes());
    ip::set_v4_checksum(header);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn packet(options: &[u8], data_len: usize, fragment_field: u16) -> Vec<u8> {
        let header_len = 20 + options.len();
        let mut p = vec![0x40 | (header_len / 4) as u8, 0xb8, 0, 0, 0x77, 0x77, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 1, 0, 1];
        p[2..4].copy_from_slice(&((header_len + data_len) as u16).to_be_bytes());
        p[6..8].copy_from_slice(&fragment_field.to_be_bytes());
        p.extend(options);
        ip::set_v4_checksum(&mut p);
        p.extend((0..data_len).map(|i| (i * 7 + i / 256) as u8));
        p
    }

    fn fragments(packet: &[u8], limit: usize) -> Option<Vec<Vec<u8>>> {
        let mut arena = vec![0xee; HEADROOM];
        arena.extend(packet);
        arena.resize(arena.len() + TAILROOM, 0xee);
        let place = Packet { start: HEADROOM, len: packet.len() };
        let mut places = Vec::new();
        let mut scratch = Scratch::behind(&[place]);
        let header = Header::parse(packet).unwrap();
        let done = fragment(&mut arena, place, &header, limit, &mut scratch, |p| places.push(p));
        for pair in places.windows(2).filter(|w| w[0].start > HEADROOM) {
            assert!(pair[0].range().end + TAILROOM + HEADROOM <= pair[1].start, "no two places overlap");
        }
        assert!(places.iter().all(|p| p.range().end + TAILROOM <= arena.len()));
        done.then(|| places.iter().map(|p| arena[p.range()].to_vec()).collect())
    }

    #[test]
    fn a_fragment_of_a_fragment_keeps_its_place_in_the_whole() {
        let parts = fragments(&packet(&[], 100, v4::MF | 10), 84).unwrap();
        let seen: Vec<_> = parts.iter().map(|p| Header::parse(p).unwrap().fragment.unwrap()).collect();
        assert_eq!(seen, [ip::Fragment { offset: 80, more: true }, ip::Fragment { offset: 144, more: true }]);
    }

    #[test]
    fn later_fragments_carry_only_the_options_to_be_copied() {
        // Record route (not copied), no-operation, strict source route of one address (copied).
        let options = [7, 7, 4, 1, 2, 3, 4, 1, 137, 7, 4, 10, 9, 9, 9, 0];
        let parts = fragments(&packet(&options, 200, 0), 140).unwrap();
        assert_eq!(parts[0][20..36], options);
        assert_eq!(parts[1][20..28], [137, 7, 4, 10, 9, 9, 9, 0]);
        assert_eq!(Header::parse(&parts[1]).unwrap().header_len, 28);
    }

    #[test]
    fn a_limit_without_room_for_data_is_refused() {
        assert_eq!(fragments(&packet(&[], 100, 0), 27), None);
        assert!(fragments(&packet(&[], 100, 0), 28).is_some());
    }

    proptest! {
        #[test]
        fn fragments_fit_and_make_the_packet_again(data_len in 1usize..4000, limit in 28usize..1500) {
            let whole = packet(&[], data_len, 0);
            prop_assume!(whole.len() > limit);
            let parts = fragments(&whole, limit).unwrap();
            let mut data: Vec<u8> = Vec::new();
            for (i, part) in parts.iter().enumerate() {
                let header = Header::parse(part).unwrap();
                prop_assert!(part.len() <= limit && header.total_len == part.len());
                prop_assert_eq!(ip::checksum(&part[..20]), 0);
                prop_assert_eq!((header.tos, &part[4..6]), (0xb8, &whole[4..6]));
                prop_assert_eq!(header.fragment, Some(ip::Fragment { offset: data.len(), more: i + 1 < parts.len() }));
                data.extend(&part[20..]);
            }
            prop_assert_eq!(&data[..], &whole[20..]);
        }
    }
}
