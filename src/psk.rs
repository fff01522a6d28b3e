//! Pre-shared keys as the cloud makes them: 16 random characters from the alphabet that its console accepts.

use rand::TryRng;
use rand::rngs::SysRng;

/// The characters that the cloud accepts in a key (the console's text for "Pre-Shared Key"): no spaces and no double quotes.
pub const ALPHABET: &[u8] = br"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz~`!@#$%^&*()_-+={}[]\|;:',.<>/?";

/// Length of a key that the cloud makes, in characters: about 104 bits.
pub const LENGTH: usize = 16;

/// A random key from the operating system's generator, every character equally likely.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random() -> std::io::Result<String> {
    let mut key = String::with_capacity(LENGTH);
    while key.len() < LENGTH {
        let byte = usize::from(SysRng.try_next_u32().map_err(std::io::Error::other)?.to_le_bytes()[0]);
        // Bytes beyond the last whole multiple of the alphabet are thrown away: `%` alone would favour its beginning.
        let bound = 256 - 256 % ALPHABET.len();
        if byte < bound {
            key.push(char::from(ALPHABET[byte % ALPHABET.len()]));
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_alphabet_is_the_clouds_without_repetition() {
        assert_eq!(ALPHABET.len(), 10 + 52 + 31);
        let mut sorted = ALPHABET.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), ALPHABET.len());
        assert!(ALPHABET.iter().all(|c| c.is_ascii_graphic() && *c != b'"'));
    }

    #[test]
    fn keys_are_sixteen_characters_and_every_character_is_equally_likely() {
        let mut seen = [0u32; 128];
        for _ in 0..6000 {
            let key = random().unwrap();
            assert_eq!(key.len(), LENGTH);
            key.bytes().for_each(|c| seen[usize::from(c)] += 1);
        }
        let expected = 6000.0 * 16.0 / ALPHABET.len() as f64;
        // Chi-squared with 92 degrees of freedom exceeds 180 about once in ten million runs.
        let chi: f64 = ALPHABET.iter().map(|c| (f64::from(seen[usize::from(*c)]) - expected).powi(2) / expected).sum();
        assert!(chi < 180.0, "{chi}");
        assert_eq!(seen.iter().sum::<u32>(), 96_000, "nothing outside the alphabet");
    }
}
