//! Counters that the packet path writes and the control path reads: plain atomics, one writer each, no locks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Packets and bytes of inner IP, one direction.
#[derive(Debug, Default)]
pub struct Traffic {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// Adds a batch.
    pub fn add(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// Both directions of an SA pair or a connection.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the peer.
    pub inbound: Traffic,
    /// To the peer.
    pub outbound: Traffic,
}

macro_rules! drop_reasons {
    ($($variant:ident $name:literal $doc:literal),* $(,)?) => {
        /// Every reason for which the packet path drops a packet. Each is a counter of the same name in `status` and `/metrics`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason { $(#[doc = $doc] $variant),* }

        impl DropReason {
            /// All of them, in the order of the packet's way.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant),*];

            /// The counter's name.
            pub fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name),* }
            }
        }
    };
}

drop_reasons! {
    NotIp            "not_ip"             "From the TUN device: neither IPv4 nor IPv6, or damaged.",
    NoRoute          "no_route"           "No `[[route]]` contains the destination.",
    NoPolicy         "no_policy"          "The connection's access list does not permit it.",
    NoSa             "no_sa"              "Permitted, but no IPsec SA is up for it.",
    TooBig           "too_big"            "Larger than the tunnel's MTU; answered by \"fragmentation needed\" where allowed.",
    SequenceExhausted "sequence_exhausted" "The SA's sequence numbers are used up.",
    SendFailed       "send_failed"        "The kernel refused to send it (link down, no route, buffer full).",
    UnknownSpi       "unknown_spi"        "From the network: no SA has this SPI.",
    WrongPeer        "wrong_peer"         "The SPI is known, but not over this encapsulation.",
    Malformed        "malformed"          "Length does not fit the SA's algorithms, or a runt.",
    Replayed         "replayed"           "Sequence number seen already, or older than the window.",
    BadIcv           "bad_icv"            "The integrity check failed.",
    BadPadding       "bad_padding"        "ESP padding is wrong.",
    BadNextHeader    "bad_next_header"    "The next header is not IP.",
    Dummy            "dummy"              "A dummy packet (next header 59).",
    InnerMalformed   "inner_malformed"    "The decrypted packet is no IP packet.",
    SelectorMismatch "selector_mismatch"  "The decrypted packet is outside the SA's selectors (RFC 4301 section 5.2).",
    EcnInvalid       "ecn_invalid"        "Congestion was marked outside on a packet that is not ECN-capable inside (RFC 6040 section 4.2).",
    TunFull          "tun_full"           "The kernel did not take the packet from us.",
    ControlFull      "control_full"       "An IKE datagram or a notice came faster than the control path reads.",
}

/// One counter for each [`DropReason`].
#[derive(Debug)]
pub struct Drops([AtomicU64; DropReason::ALL.len()]);

impl Default for Drops {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Drops {
    /// Counts one.
    pub fn count(&self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// Counts several.
    pub fn add(&self, reason: DropReason, n: u64) {
        if let Some(c) = self.0.get(reason as usize) {
            c.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// How many so far.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0.get(reason as usize).map_or(0, |c| c.load(Ordering::Relaxed))
    }
}

/// The drops of one batch, counted without touching shared memory until [`flush`](Self::flush).
#[derive(Debug, Default)]
pub(crate) struct Tally([u32; DropReason::ALL.len()]);

impl Tally {
    /// Counts one.
    pub(crate) fn count(&mut self, reason: DropReason) {
        self.add(reason, 1);
    }

    /// Counts several.
    pub(crate) fn add(&mut self, reason: DropReason, n: usize) {
        if let Some(c) = self.0.get_mut(reason as usize) {
            *c = c.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
        }
    }

    /// Adds everything to the shared counters and starts again.
    pub(crate) fn flush(&mut self, drops: &Drops) {
        for (&reason, n) in DropReason::ALL.iter().zip(&mut self.0) {
            if *n != 0 {
                drops.add(reason, u64::from(std::mem::take(n)));
            }
        }
    }
}
