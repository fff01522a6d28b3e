//! Limits on what strangers' packets can make us say: to the control path, or by ICMP.

use std::net::IpAddr;

/// So many in one second, and no more until the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerSecond {
    since_ms: u64,
    used: u32,
}

impl PerSecond {
    /// Whether one more may pass.
    pub(super) fn admits(&mut self, now_ms: u64, most: u32) -> bool {
        if now_ms.saturating_sub(self.since_ms) >= 1000 {
            *self = Self { since_ms: now_ms, used: 0 };
        }
        let admitted = self.used < most;
        self.used += u32::from(admitted);
        admitted
    }
}

/// Sources that a [`PerSource`] can tell apart at a time.
const SOURCES: usize = 256;

/// One in a second for each source. The table is of fixed size: a source whose place another one used in the last second must wait,
/// so that forged sources cannot raise the sum above [`SOURCES`] a second.
#[derive(Debug)]
pub(super) struct PerSource(Box<[Option<u64>]>);

impl PerSource {
    pub(super) fn new() -> Self {
        Self(vec![None; SOURCES].into())
    }

    /// Whether this source may pass.
    pub(super) fn admits(&mut self, now_ms: u64, source: IpAddr) -> bool {
        let bits = match source {
            IpAddr::V4(a) => u128::from(a.to_bits()),
            IpAddr::V6(a) => a.to_bits(),
        };
        let mixed = ((bits >> 64) as u64 ^ bits as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let place = &mut self.0[(mixed >> 32) as usize % SOURCES];
        let free = place.is_none_or(|since_ms| now_ms.saturating_sub(since_ms) >= 1000);
        if free {
            *place = Some(now_ms);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn no_more_than_so_many_pass_in_a_second() {
        let mut limit = PerSecond::default();
        let passed = |limit: &mut PerSecond, now| (0..50).filter(|_| limit.admits(now, 10)).count();
        assert_eq!(passed(&mut limit, 5), 10);
        assert_eq!(passed(&mut limit, 999), 0);
        assert_eq!(passed(&mut limit, 1000), 10);
    }

    #[test]
    fn each_source_passes_once_a_second_and_all_together_stay_bounded() {
        let mut limit = PerSource::new();
        let peer = IpAddr::from([203, 0, 113, 21]);
        assert!(limit.admits(100, peer) && !limit.admits(1099, peer) && limit.admits(1100, peer));
        let mut flood = |now| (0..100_000u32).map(|i| IpAddr::from(Ipv4Addr::from_bits(i))).filter(|&a| limit.admits(now, a)).count();
        assert!(flood(5000) + flood(5500) <= SOURCES);
    }
}
