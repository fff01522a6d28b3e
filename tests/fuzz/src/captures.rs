//! Payloads of public IKEv1 captures, and packets that crashed other implementations.

/// All of `captures.hex`, and the empty datagram.
pub fn captures() -> Vec<Vec<u8>> {
    let lines = include_str!("../captures.hex").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    std::iter::once(Vec::new()).chain(lines.map(bytes)).collect()
}

fn bytes(line: &str) -> Vec<u8> {
    let digits: Option<Vec<_>> = line.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.expect("captures.hex holds hexadecimal digits");
    digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
