//! The key log: keys in Wireshark's own files, so that a capture can be read. Off by default; whoever has these files can read the traffic.
//!
//! `ikev1_decryption_table`, `esp_sa` and a `preferences` that turns ESP decryption on: `WIRESHARK_CONFIG_DIR=DIR tshark -r x.pcapng` needs nothing else.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use tandem_esp::{Cipher, Integrity, Suite};
use tandem_ike::ChildKeys;
use zeroize::Zeroizing;

/// Decrypts ESP, checks ICVs, and does not guess that packets are unencrypted.
const PREFERENCES: &str =
    "esp.enable_encryption_decode: TRUE\nesp.enable_authentication_check: TRUE\nesp.enable_null_encryption_decode_heuristic: FALSE\n";

/// One entry of a table, as text; wiped when dropped, never shown.
pub enum Keys {
    /// A line of `ikev1_decryption_table`.
    Ike(Zeroizing<String>),
    /// Lines of `esp_sa`.
    Esp(Zeroizing<String>),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ike(_) => "Keys::Ike(..)",
            Self::Esp(_) => "Keys::Esp(..)",
        })
    }
}

impl Keys {
    /// The encryption key of an ISAKMP SA, named by the initiator's cookie.
    pub fn ike(initiator_cookie: [u8; 8], key: &[u8]) -> Self {
        Self::Ike(Zeroizing::new(format!("{},{}\n", *hex(&initiator_cookie), *hex(key))))
    }

    /// Both directions of an SA pair.
    pub fn esp(local: IpAddr, remote: IpAddr, suite: Suite, keys: &ChildKeys) -> Self {
        let mut lines = Zeroizing::new(String::with_capacity(1024));
        let version = if local.is_ipv4() { "IPv4" } else { "IPv6" };
        let (encryption, authentication) = wireshark_names(suite);
        for (source, destination, spi, keymat) in
            [(local, remote, keys.spi_out, &keys.keymat_out), (remote, local, keys.spi_in, &keys.keymat_in)]
        {
            // GCM's salt belongs to its key (RFC 4106 section 8.1).
            let (cipher_key, hmac_key) = keymat.split_at(keymat.len() - suite.integrity().map_or(0, Integrity::key_len));
            let hmac_key =
                if hmac_key.is_empty() { Zeroizing::new(String::new()) } else { Zeroizing::new(format!("0x{}", *hex(hmac_key))) };
            let written = writeln!(
                lines,
                "\"{version}\",\"{source}\",\"{destination}\",\"0x{spi:08x}\",\"{encryption}\",\"0x{}\",\"{authentication}\",\"{}\",\"32-bit\"",
                *hex(cipher_key),
                *hmac_key
            );
            debug_assert!(written.is_ok(), "a String takes everything");
        }
        Self::Esp(lines)
    }
}

/// The words of Wireshark's preferences.
fn wireshark_names(suite: Suite) -> (&'static str, &'static str) {
    let encryption = match suite.cipher() {
        Cipher::Des => "DES-CBC [RFC2405]",
        Cipher::TripleDes => "TripleDES-CBC [RFC2451]",
        Cipher::Aes128 | Cipher::Aes192 | Cipher::Aes256 => "AES-CBC [RFC3602]",
        Cipher::Aes128Gcm16 | Cipher::Aes256Gcm16 => "AES-GCM with 16 octet ICV [RFC4106]",
    };
    let authentication = match suite.integrity() {
        Some(Integrity::HmacMd5_96) => "HMAC-MD5-96 [RFC2403]",
        Some(Integrity::HmacSha1_96) => "HMAC-SHA-1-96 [RFC2404]",
        Some(Integrity::HmacSha256_128) => "HMAC-SHA-256-128 [RFC4868]",
        Some(Integrity::HmacSha384_192) => "HMAC-SHA-384-192 [RFC4868]",
        Some(Integrity::HmacSha512_256) => "HMAC-SHA-512-256 [RFC4868]",
        None => "NULL",
    };
    (encryption, authentication)
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    // Reserved at once, so that no half of a key stays behind in a freed allocation.
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('?'));
        }
    }
    text
}

/// The open files.
#[derive(Debug)]
pub struct KeyLog {
    ike: File,
    esp: File,
}

impl KeyLog {
    /// Makes the directory (0700) if it is missing, and the files (0600).
    ///
    /// # Errors
    /// If others can open the directory, or the file system refuses.
    pub fn open(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mode = fs::metadata(directory)?.mode();
        if mode & 0o077 != 0 {
            let message = format!("others can open {} (mode {:03o}): `chmod 700` it", directory.display(), mode & 0o777);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let open = |name| OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(name));
        let mut preferences = OpenOptions::new().write(true).truncate(true).create(true).mode(0o600).open(directory.join("preferences"))?;
        preferences.write_all(PREFERENCES.as_bytes())?;
        Ok(Self { ike: open("ikev1_decryption_table")?, esp: open("esp_sa")? })
    }

    /// Adds keys.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn write(&mut self, keys: &Keys) -> io::Result<()> {
        match keys {
            Keys::Ike(line) => self.ike.write_all(line.as_bytes()),
            Keys::Esp(lines) => self.esp.write_all(lines.as_bytes()),
        }
    }
}
