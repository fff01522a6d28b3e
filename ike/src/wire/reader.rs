//! A reader over a slice that knows its bounds; every error names the field that could not be read.

use std::fmt;

/// Bytes that cannot be read as what they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The field, in the RFC's words.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// The bytes end before the field does.
    Truncated {
        /// Bytes the field takes.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// Bytes follow where nothing may.
    Trailing {
        /// How many.
        left: usize,
    },
    /// More of them than we are willing to keep.
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The value is not one that may stand here.
    Value {
        /// What stands there.
        found: u64,
        /// What may.
        expected: &'static str,
    },
}

impl Malformed {
    /// A field with a value that may not stand there.
    pub(crate) fn value(field: &'static str, found: impl Into<u64>, expected: &'static str) -> Self {
        Self { field, problem: Problem::Value { found: found.into(), expected } }
    }

    /// A field with a length that may not be.
    pub(crate) fn length(field: &'static str, found: usize, expected: &'static str) -> Self {
        Self::value(field, u64::try_from(found).unwrap_or(u64::MAX), expected)
    }

    /// More than `limit` of something.
    pub(crate) fn too_many(field: &'static str, limit: usize) -> Self {
        Self { field, problem: Problem::TooMany { limit } }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.field;
        match self.problem {
            Problem::Missing => write!(f, "{field}: missing"),
            Problem::Truncated { needed, left } => write!(f, "{field}: needs {needed} bytes, {left} are left"),
            Problem::Trailing { left } => write!(f, "{field}: {left} bytes follow where nothing may"),
            Problem::TooMany { limit } => write!(f, "{field}: more than {limit}"),
            Problem::Value { found, expected } => write!(f, "{field}: {found}, expected {expected}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The bytes not read yet.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether everything is read.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    /// The next `len` bytes.
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let (taken, left) = self.bytes.split_at_checked(len).ok_or_else(|| self.truncated(len, field))?;
        self.bytes = left;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Malformed> {
        let (taken, left) = self.bytes.split_first_chunk::<N>().ok_or_else(|| self.truncated(N, field))?;
        self.bytes = left;
        Ok(*taken)
    }

    /// The next byte.
    pub fn u8(&mut self, field: &'static str) -> Result<u8, Malformed> {
        self.array(field).map(|[byte]: [u8; 1]| byte)
    }

    /// The next two bytes, most significant first.
    pub fn u16(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(u16::from_be_bytes)
    }

    /// The next four bytes, most significant first.
    pub fn u32(&mut self, field: &'static str) -> Result<u32, Malformed> {
        self.array(field).map(u32::from_be_bytes)
    }

    /// Makes sure that nothing is left.
    pub fn finish(&self, field: &'static str) -> Result<(), Malformed> {
        match self.left() {
            0 => Ok(()),
            left => Err(Malformed { field, problem: Problem::Trailing { left } }),
        }
    }

    fn truncated(&self, needed: usize, field: &'static str) -> Malformed {
        Malformed { field, problem: Problem::Truncated { needed, left: self.left() } }
    }
}
