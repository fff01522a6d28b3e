//! Reading the files of a configuration: regular ones only, of bounded size, and secrets only where nobody else can read them.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// A configuration of any sense is far smaller; beyond this it is the wrong file.
const CONFIG_SIZE: u64 = 1 << 20;
/// The cloud's longest key has 100 bytes.
const SECRET_SIZE: u64 = 4096;
/// Read or write, for the group or others.
const FOREIGN: u32 = 0o066;

/// What is wrong with a file, and what was expected.
pub(super) type Refused = (String, String);

/// The bytes of a configuration file and whether anyone but its owner may read it.
pub(super) fn config(path: &Path) -> Result<(Zeroizing<Vec<u8>>, bool), Refused> {
    let (bytes, mode) = read(path, CONFIG_SIZE)?;
    Ok((bytes, mode & 0o044 != 0))
}

/// The bytes of a secret less one final newline; 1 byte or more. Messages begin with the path.
pub(super) fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, Refused> {
    let file = shown(path);
    let (mut bytes, mode) = read(path, SECRET_SIZE).map_err(|(message, expected)| (format!("{file} {message}"), expected))?;
    if mode & FOREIGN != 0 {
        let expected = format!("expected a file for its owner alone: chmod 600 {file}");
        return Err((format!("{file} is open to others (mode {:04o})", mode & 0o7777), expected));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err((format!("{file} is empty"), "expected the secret, 1 byte or more".into()));
    }
    Ok(bytes)
}

/// Opens without waiting, so that a FIFO without a writer is refused like every other thing that is no file.
fn read(path: &Path, most: u64) -> Result<(Zeroizing<Vec<u8>>, u32), Refused> {
    let failed = |error: std::io::Error| (format!("cannot be read: {}", reason(&error)), "expected a file".to_owned());
    let open = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).map_err(failed)?;
    let metadata = open.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "is a directory" } else { "is no regular file" };
        return Err((kind.into(), "expected a file".into()));
    }
    // Room for all of it at once: a buffer that grows would leave copies of a secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(most) as usize + 2));
    open.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err((format!("is larger than {most} bytes"), "expected the right file".into()));
    }
    Ok((bytes, metadata.mode()))
}

/// A path in a message: on one line, whatever its name.
fn shown(path: &Path) -> String {
    path.display().to_string().replace(char::is_control, "?")
}

/// The operating system's words without its number.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
