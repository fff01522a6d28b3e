//! The names of algorithms in proposals (`aes128-sha1-group2`, `aes128gcm16`), and which of them are weak.

use tandem_ike::{EncryptionAlgorithm, EspTransform, Group, HashAlgorithm, IkeProposal, IntegrityAlgorithm};

use super::read::{list, nearest, quoted};

const ENCRYPTION: [(&str, EncryptionAlgorithm); 5] = [
    ("aes128", EncryptionAlgorithm::Aes128),
    ("aes192", EncryptionAlgorithm::Aes192),
    ("aes256", EncryptionAlgorithm::Aes256),
    ("3des", EncryptionAlgorithm::TripleDes),
    ("des", EncryptionAlgorithm::Des),
];
const GCM: [(&str, EspTransform); 2] = [("aes128gcm16", EspTransform::Gcm16(128)), ("aes256gcm16", EspTransform::Gcm16(256))];
const HASH: [(&str, HashAlgorithm, IntegrityAlgorithm); 5] = [
    ("md5", HashAlgorithm::Md5, IntegrityAlgorithm::Md5),
    ("sha1", HashAlgorithm::Sha1, IntegrityAlgorithm::Sha1),
    ("sha256", HashAlgorithm::Sha256, IntegrityAlgorithm::Sha256),
    ("sha384", HashAlgorithm::Sha384, IntegrityAlgorithm::Sha384),
    ("sha512", HashAlgorithm::Sha512, IntegrityAlgorithm::Sha512),
];
const GROUP: [(&str, Group); 6] = [
    ("group1", Group::Modp768),
    ("group2", Group::Modp1024),
    ("group5", Group::Modp1536),
    ("group14", Group::Modp2048),
    ("group15", Group::Modp3072),
    ("group16", Group::Modp4096),
];
/// Accepted for old peers, with a warning: 56-bit keys, a broken hash, a 768-bit group (RFC 8247 section 2, RFC 8221 section 5).
const WEAK: [&str; 3] = ["des", "md5", "group1"];

/// What is wrong with a name, and what was expected.
type Unknown = (String, String);

/// Reads a phase 1 proposal: encryption, hash, group.
pub(super) fn ike(text: &str) -> Result<IkeProposal, Unknown> {
    let expected = || "expected ENCRYPTION-HASH-GROUP such as aes128-sha1-group2".to_owned();
    let parts: Vec<&str> = text.split('-').collect();
    if let Some(gcm) = parts.iter().find(|part| GCM.iter().any(|(name, _)| name == *part)) {
        let message = format!("{gcm} protects ESP only: IKEv1 has no authenticated encryption for its own messages");
        return Err((message, expected()));
    }
    let [encryption, hash, group] = parts.as_slice() else {
        return Err((format!("{} is no phase 1 proposal", quoted(text)), expected()));
    };
    let names: Vec<&str> = ENCRYPTION.iter().map(|e| e.0).collect();
    let encryption = find(encryption, "encryption", &names, |n| ENCRYPTION.iter().find(|e| e.0 == n).map(|e| e.1))?;
    let hash = find(hash, "hash", &HASH.map(|h| h.0), |n| HASH.iter().find(|h| h.0 == n).map(|h| h.1))?;
    Ok(IkeProposal { encryption, hash, group: self::group(group)? })
}

/// Reads a phase 2 proposal: encryption and integrity, or a GCM that brings its own.
pub(super) fn esp(text: &str) -> Result<EspTransform, Unknown> {
    if let Some((_, gcm)) = GCM.iter().find(|(name, _)| *name == text) {
        return Ok(*gcm);
    }
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        [gcm, ..] if GCM.iter().any(|(name, _)| name == gcm) => {
            Err((format!("{} names more than {gcm}, which brings its own integrity", quoted(text)), format!("expected {gcm} alone")))
        }
        [encryption, integrity] => {
            let names: Vec<&str> = ENCRYPTION.iter().map(|e| e.0).chain(GCM.iter().map(|g| g.0)).collect();
            let encryption = find(encryption, "encryption", &names, |n| ENCRYPTION.iter().find(|e| e.0 == n).map(|e| e.1))?;
            let integrity = find(integrity, "integrity", &HASH.map(|h| h.0), |n| HASH.iter().find(|h| h.0 == n).map(|h| h.2))?;
            Ok(EspTransform::Cbc(encryption, integrity))
        }
        [encryption, integrity, group] if GROUP.iter().any(|(name, _)| name == group) => {
            Err((format!("{} names a group", quoted(text)), format!("expected {encryption}-{integrity}, and pfs = \"{group}\" beside it")))
        }
        _ => Err((
            format!("{} is no phase 2 proposal", quoted(text)),
            "expected ENCRYPTION-INTEGRITY such as aes128-sha1, or aes128gcm16".into(),
        )),
    }
}

/// Reads a Diffie-Hellman group.
pub(super) fn group(text: &str) -> Result<Group, Unknown> {
    find(text, "group", &GROUP.map(|g| g.0), |n| GROUP.iter().find(|g| g.0 == n).map(|g| g.1))
}

/// The weak algorithms in a proposal or group's name.
pub(super) fn weak(text: &str) -> impl Iterator<Item = &str> {
    text.split('-').filter(|part| WEAK.contains(part))
}

fn find<T>(name: &str, what: &str, names: &[&str], value: impl Fn(&str) -> Option<T>) -> Result<T, Unknown> {
    value(name).ok_or_else(|| {
        let all = list(names);
        let hint = nearest(name, names.iter().copied()).map_or(String::new(), |near| format!("did you mean {near}? "));
        (format!("unknown {what} {}", quoted(name)), format!("{hint}expected one of {all}"))
    })
}

/// The name of a phase 1 proposal.
pub(crate) fn ike_name(proposal: &IkeProposal) -> String {
    let hash = HASH.iter().find(|h| h.1 == proposal.hash).map_or("?", |h| h.0);
    format!("{}-{hash}-{}", encryption_name(proposal.encryption), group_name(proposal.group))
}

/// The name of a phase 2 proposal.
pub(crate) fn esp_name(transform: &EspTransform) -> String {
    match transform {
        EspTransform::Cbc(encryption, integrity) => {
            let integrity = HASH.iter().find(|h| h.2 == *integrity).map_or("?", |h| h.0);
            format!("{}-{integrity}", encryption_name(*encryption))
        }
        gcm @ EspTransform::Gcm16(_) => GCM.iter().find(|g| g.1 == *gcm).map_or("?", |g| g.0).to_owned(),
    }
}

/// The name of a group.
pub(crate) fn group_name(group: Group) -> &'static str {
    GROUP.iter().find(|g| g.1 == group).map_or("?", |g| g.0)
}

fn encryption_name(encryption: EncryptionAlgorithm) -> &'static str {
    ENCRYPTION.iter().find(|e| e.1 == encryption).map_or("?", |e| e.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn every_name_reads_and_prints_as_itself() {
        for (encryption, _) in ENCRYPTION {
            for (hash, _, _) in HASH {
                for (group, _) in GROUP {
                    let name = format!("{encryption}-{hash}-{group}");
                    assert_eq!(ike_name(&ike(&name).unwrap()), name);
                }
                let name = format!("{encryption}-{hash}");
                assert_eq!(esp_name(&esp(&name).unwrap()), name);
            }
        }
        for (name, transform) in GCM {
            assert_eq!(esp_name(&esp(name).unwrap()), name);
            assert_eq!(esp(name).unwrap(), transform);
        }
    }

    #[test]
    fn weak_names_are_found_whole() {
        assert_eq!(weak("des-md5-group1").collect::<Vec<_>>(), ["des", "md5", "group1"]);
        assert_eq!(weak("3des-sha1-group14").count() + weak("aes128gcm16").count(), 0);
    }
}
