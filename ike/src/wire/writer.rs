//! Builds chains of payloads and whole clear messages.

use super::chain::GENERIC_HEADER_LEN;
use super::header::{Header, PayloadType};

/// Payloads in the order they were pushed, with their generic headers. The same form chains proposals inside an SA and transforms
/// inside a proposal.
#[derive(Clone, Debug)]
pub struct Chain {
    first: PayloadType,
    bytes: Vec<u8>,
    /// Where the last payload says what follows it.
    last: Option<usize>,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// A chain without payloads.
    pub fn new() -> Self {
        Self { first: PayloadType::NONE, bytes: Vec::new(), last: None }
    }

    /// Appends a payload.
    ///
    /// # Panics
    /// The body does not fit a payload of 65,535 bytes; every body is made by us and far smaller.
    pub fn push(&mut self, kind: PayloadType, body: &[u8]) {
        let start = self.bytes.len();
        match self.last.and_then(|last| self.bytes.get_mut(last)) {
            Some(next) => *next = kind.0,
            None => self.first = kind,
        }
        self.last = Some(start);
        let length = u16::try_from(body.len().saturating_add(GENERIC_HEADER_LEN)).expect("our payloads are far smaller than 64 KiB");
        self.bytes.extend_from_slice(&[PayloadType::NONE.0, 0]);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(body);
    }

    /// [`push`](Self::push), for writing a chain in one expression.
    #[must_use]
    pub fn with(mut self, kind: PayloadType, body: &[u8]) -> Self {
        self.push(kind, body);
        self
    }

    /// The first payload's type, for the header in front.
    pub fn first(&self) -> PayloadType {
        self.first
    }

    /// The payloads.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A whole clear message: `header` with next payload and length filled in, then the payloads.
    pub fn message(&self, header: &Header) -> Vec<u8> {
        let length = Header::LEN.saturating_add(self.bytes.len());
        let header =
            Header { next_payload: self.first, length: u32::try_from(length).expect("our messages are far smaller than 4 GiB"), ..*header };
        let mut message = header.encode();
        message.extend_from_slice(&self.bytes);
        message
    }
}
