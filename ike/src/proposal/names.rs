//! The names of algorithms and proposals in the configuration, in status and in messages: `aes128`, `sha1`, `group2`, `aes128-sha1-group2`.

use std::fmt;
use std::str::FromStr;

use super::{EncryptionAlgorithm, EspTransform, Group, HashAlgorithm, IkeProposal, IntegrityAlgorithm};

/// A name that means no algorithm or proposal, with what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}`: {expected}")]
pub struct UnknownName {
    /// The offending text.
    pub name: String,
    /// What was expected, and what may have been meant.
    pub expected: String,
}

impl UnknownName {
    fn new(name: &str, expected: impl Into<String>) -> Self {
        Self { name: name.to_owned(), expected: expected.into() }
    }

    /// A name that is none of a menu's.
    fn not_among(name: &str, what: &str, menu: &[&str]) -> Self {
        let meant = meant(name).filter(|meant| menu.contains(meant)).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
        Self::new(name, format!("expected {what}: {}{meant}", menu.join(", ")))
    }
}

macro_rules! named {
    ($type:ident, $what:literal, { $($variant:ident => $name:literal $(weak $weakness:literal)?),* $(,)? }) => {
        impl $type {
            /// All of them, the weakest first.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name in the configuration.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Why it should not be used any more, if so; it is accepted all the same.
            pub fn weakness(self) -> Option<&'static str> {
                match self { $($(Self::$variant => Some($weakness),)?)* _ => None }
            }

            /// Whether it should not be used any more.
            pub fn is_weak(self) -> bool {
                self.weakness().is_some()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                match name {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownName::not_among(name, $what, &[$($name),*])),
                }
            }
        }
    };
}

named!(EncryptionAlgorithm, "an encryption algorithm", {
    Des => "des" weak "a key of 56 bits can be searched in a day",
    TripleDes => "3des",
    Aes128 => "aes128",
    Aes192 => "aes192",
    Aes256 => "aes256",
});

named!(HashAlgorithm, "a hash", {
    Md5 => "md5" weak "MD5 is broken as a hash, and nobody vouches for its HMAC any more",
    Sha1 => "sha1",
    Sha256 => "sha256",
    Sha384 => "sha384",
    Sha512 => "sha512",
});

named!(IntegrityAlgorithm, "an integrity algorithm", {
    Md5 => "md5" weak "MD5 is broken as a hash, and nobody vouches for its HMAC any more",
    Sha1 => "sha1",
    Sha256 => "sha256",
    Sha384 => "sha384",
    Sha512 => "sha512",
});

named!(Group, "a group", {
    Modp768 => "group1" weak "768 bits can be broken by anybody with a cluster",
    Modp1024 => "group2",
    Modp1536 => "group5",
    Modp2048 => "group14",
    Modp3072 => "group15",
    Modp4096 => "group16",
});

impl Group {
    /// The group of a number, if we know it.
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|group| u64::from(group.number()) == number)
    }
}

impl fmt::Display for IkeProposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}-{}", self.encryption, self.hash, self.group))
    }
}

impl FromStr for IkeProposal {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        if gcm(name.split('-').next().unwrap_or_default()).is_some() {
            return Err(UnknownName::new(
                name,
                "AES-GCM is for ESP only; phase 1 takes encryption, hash and group, like `aes128-sha1-group2`",
            ));
        }
        let parts: Vec<_> = name.split('-').collect();
        let [encryption, hash, group] = parts.as_slice() else {
            return Err(UnknownName::new(name, "expected encryption, hash and group, like `aes128-sha1-group2`"));
        };
        Ok(Self { encryption: encryption.parse()?, hash: hash.parse()?, group: group.parse()? })
    }
}

impl IkeProposal {
    /// One line for each weak part.
    pub fn warnings(&self) -> Vec<String> {
        let Self { encryption, hash, group } = self;
        [
            encryption.weakness().map(|why| format!("{encryption}: {why}")),
            hash.weakness().map(|why| format!("{hash}: {why}")),
            group.weakness().map(|why| format!("{group}: {why}")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl fmt::Display for EspTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cbc(encryption, integrity) => f.pad(&format!("{encryption}-{integrity}")),
            Self::Gcm16(bits) => f.pad(&format!("aes{bits}gcm16")),
        }
    }
}

impl FromStr for EspTransform {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        let parts: Vec<_> = name.split('-').collect();
        match parts.as_slice() {
            [cipher] if gcm(cipher).is_some() => gcm(cipher).ok_or_else(|| UnknownName::new(name, "")),
            [cipher, ..] if gcm(cipher).is_some() => {
                Err(UnknownName::new(name, format!("AES-GCM authenticates by itself: write `{cipher}` alone; PFS is a key of its own")))
            }
            [encryption, integrity] => Ok(Self::Cbc(encryption.parse()?, integrity.parse()?)),
            [_, _, group] if group.parse::<Group>().is_ok() => {
                Err(UnknownName::new(name, format!("the group of ESP is a key of its own: write `pfs = \"{group}\"`")))
            }
            _ => Err(UnknownName::new(name, "expected encryption and integrity, like `aes128-sha1`, or `aes128gcm16` or `aes256gcm16`")),
        }
    }
}

impl EspTransform {
    /// One line for each weak part.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Gcm16(_) => Vec::new(),
            Self::Cbc(encryption, integrity) => [
                encryption.weakness().map(|why| format!("{encryption}: {why}")),
                integrity.weakness().map(|why| format!("{integrity}: {why}")),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }
}

fn gcm(name: &str) -> Option<EspTransform> {
    match name {
        "aes128gcm16" => Some(EspTransform::Gcm16(128)),
        "aes256gcm16" => Some(EspTransform::Gcm16(256)),
        _ => None,
    }
}

/// What other products call it.
fn meant(name: &str) -> Option<&'static str> {
    let plain: String = name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    Some(match plain.as_str() {
        "aes" | "aescbc" | "aes128cbc" | "aescbc128" | "espaes" => "aes128",
        "aes192cbc" | "aescbc192" => "aes192",
        "aes256cbc" | "aescbc256" => "aes256",
        "tripledes" | "des3" | "3descbc" | "esp3des" => "3des",
        "sha" | "sha160" | "hmacsha1" | "espshahmac" => "sha1",
        "sha2256" | "hmacsha256" | "sha2" => "sha256",
        "sha2384" => "sha384",
        "sha2512" => "sha512",
        "modp768" | "1" | "dh1" | "dhgroup1" => "group1",
        "modp1024" | "2" | "dh2" | "dhgroup2" => "group2",
        "modp1536" | "5" | "dh5" | "dhgroup5" => "group5",
        "modp2048" | "14" | "dh14" | "dhgroup14" => "group14",
        "modp3072" | "15" | "dh15" | "dhgroup15" => "group15",
        "modp4096" | "16" | "dh16" | "dhgroup16" => "group16",
        _ => return None,
    })
}
