//! Quick mode (RFC 2409 section 5.5): one exchange per message id under an ISAKMP SA, three messages, one IPsec SA pair. The roles read
//! in message order in [`initiator`] and [`responder`].
//!
//! ```text
//!  initiator                                    responder
//!  1  HDR*, HASH(1), SA, Ni [, KE], IDci, IDcr  ->
//!                  <-  HDR*, HASH(2), SA, Nr [, KE], IDci, IDcr  2   the responder's inbound SA stands before it leaves
//!  3  HDR*, HASH(3)                             ->                   the responder may send once it has come
//! ```

pub(crate) mod initiator;
pub(crate) mod responder;

use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::config::{ProxyIdentity, TrafficSelectors};
use crate::dh::SharedSecret;
use crate::error::{Error, Fatal};
use crate::isakmp_sa::Protection;
use crate::proposal::{EspTransform, Group};
use crate::wire::{Identification, Malformed, PayloadType, Payloads, Problem, ProtocolId};

/// What quick mode agreed on: one IPsec SA pair.
pub(crate) struct NewPair {
    /// Index among the connection's children.
    pub(crate) child: usize,
    pub(crate) selectors: TrafficSelectors,
    pub(crate) transform: EspTransform,
    pub(crate) pfs: Option<Group>,
    pub(crate) spi_in: u32,
    pub(crate) spi_out: u32,
    pub(crate) keymat_in: Zeroizing<Vec<u8>>,
    pub(crate) keymat_out: Zeroizing<Vec<u8>>,
    /// The shorter of both ends' wishes.
    pub(crate) lifetime: Duration,
    /// What the two ends wished, where it differs, in words.
    pub(crate) lifetime_remark: Option<String>,
    /// ESP travels in UDP.
    pub(crate) encapsulated: bool,
}

/// What both directions' KEYMAT are made of.
struct Ingredients<'a> {
    protection: &'a Protection,
    shared: Option<SharedSecret>,
    ni_b: &'a [u8],
    nr_b: &'a [u8],
    transform: EspTransform,
}

impl Ingredients<'_> {
    /// The KEYMAT of the direction whose receiver chose `spi`.
    fn keymat(&self, spi: u32) -> Zeroizing<Vec<u8>> {
        let len = self.transform.keymat_len();
        self.protection.keys.d.keymat(self.shared.as_ref(), ProtocolId::ESP, spi, self.ni_b, self.nr_b, len)
    }
}

/// `IDci` and `IDcr`, in this order; `None` if the message has none, which means the two hosts.
fn proxy_identities(payloads: &Payloads<'_>) -> Result<Option<(Identification, Identification)>, Error> {
    let mut ids = payloads.all(PayloadType::ID).map(|payload| Identification::parse(payload.body));
    Ok(match (ids.next().transpose()?, ids.next().transpose()?) {
        (None, _) => None,
        (Some(_), None) => return Err(Malformed { field: "IDcr payload", problem: Problem::Missing }.into()),
        (Some(idci), Some(idcr)) => Some((idci, idcr)),
    })
}

/// The proxy identity of one host, for messages without any.
fn host(address: IpAddr) -> ProxyIdentity {
    ProxyIdentity { net: address.into(), protocol: 0, port: 0 }
}

/// Whether two proxy identities are the same, host bits aside.
fn same(one: &TrafficSelectors, other: &TrafficSelectors) -> bool {
    let trunc = |proxy: &ProxyIdentity| ProxyIdentity { net: proxy.net.trunc(), ..*proxy };
    trunc(&one.local) == trunc(&other.local) && trunc(&one.remote) == trunc(&other.remote)
}

fn in_words(selectors: &TrafficSelectors) -> String {
    format!("{} <-> {}", Identification::of_proxy(&selectors.local), Identification::of_proxy(&selectors.remote))
}

fn wrong_selectors(expected: String, found: String) -> Error {
    Fatal::WrongSelectors { expected, found }.into()
}
