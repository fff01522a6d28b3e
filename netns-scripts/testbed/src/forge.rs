//! Packets with addresses of our choice: in clear, as a stranger on the internet would send them, and sealed into a live SA, as a peer that breaks the
//! agreement would.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use tandem_esp::{Cipher, HEADROOM, Integrity, OutboundSa, Packet, Suite, TAILROOM};

use crate::craft;

/// The inner datagram: UDP port 9, discard.
#[derive(clap::Args)]
struct Datagram {
    /// Its source address.
    #[arg(long)]
    from: Ipv4Addr,
    /// Its destination address.
    #[arg(long)]
    to: Ipv4Addr,
    /// How many.
    #[arg(long, default_value_t = 1)]
    count: u32,
}

impl Datagram {
    fn packet(&self) -> anyhow::Result<Vec<u8>> {
        craft::ipv4(self.from, self.to, craft::UDP, &craft::udp(9, 9, b"tandem testbed")?)
    }
}

#[derive(clap::Args)]
pub(crate) struct SpoofArgs {
    /// The namespace it is sent from.
    #[arg(long)]
    namespace: String,
    #[command(flatten)]
    datagram: Datagram,
}

/// Sends the datagram in clear.
pub(crate) fn spoof(args: &SpoofArgs) -> anyhow::Result<()> {
    craft::send(&args.namespace, &args.datagram.packet()?, args.datagram.count)
}

#[derive(clap::Args)]
pub(crate) struct ForgeArgs {
    /// The namespace it is sent from.
    #[arg(long)]
    namespace: String,
    /// Wireshark's table of ESP keys, as `tandem run --keylog` writes it.
    #[arg(long)]
    esp_sa: PathBuf,
    /// The SPI of the SA, hexadecimal.
    #[arg(long, value_parser = |text: &str| u32::from_str_radix(text, 16))]
    spi: u32,
    /// The sequence number of the first packet.
    #[arg(long)]
    sequence: u64,
    /// In UDP, to port 4500.
    #[arg(long)]
    udp: bool,
    #[command(flatten)]
    datagram: Datagram,
}

/// Seals the datagram into the SA and sends it between the SA's outer addresses.
pub(crate) fn forge(args: &ForgeArgs) -> anyhow::Result<()> {
    let table = std::fs::read_to_string(&args.esp_sa).with_context(|| args.esp_sa.display().to_string())?;
    let known = table.lines().filter_map(|line| KnownSa::parse(line).transpose()).collect::<anyhow::Result<Vec<_>>>()?;
    let sa = known
        .into_iter()
        .rev()
        .find(|sa| sa.spi == args.spi)
        .with_context(|| format!("no SA {:08x} in {}", args.spi, args.esp_sa.display()))?;
    let inner = args.datagram.packet()?;
    let mut outbound = OutboundSa::new(sa.spi, sa.suite, &sa.keymat, &mut rand::rng())?;
    for _ in 0..args.datagram.count {
        let mut sealed = seal(&mut outbound, &inner)?;
        while outbound.sequence() < args.sequence {
            sealed = seal(&mut outbound, &inner)?;
        }
        let (protocol, payload) = if args.udp { (craft::UDP, craft::udp(4500, 4500, &sealed)?) } else { (craft::ESP, sealed) };
        craft::send(&args.namespace, &craft::ipv4(sa.source, sa.destination, protocol, &payload)?, 1)?;
    }
    Ok(())
}

fn seal(sa: &mut OutboundSa, inner: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut arena = vec![0; HEADROOM];
    arena.extend(inner);
    arena.resize(arena.len() + TAILROOM, 0);
    let mut packets = [Packet { start: HEADROOM, len: inner.len() }];
    sa.seal_batch(&mut arena, &mut packets)?;
    Ok(arena.get(packets[0].range()).context("sealed packet outside its arena")?.to_vec())
}

/// A line of the table: protocol, source, destination, SPI, cipher, its key, integrity, its key.
struct KnownSa {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    spi: u32,
    suite: Suite,
    keymat: Vec<u8>,
}

impl KnownSa {
    /// None for a comment or an empty line.
    fn parse(line: &str) -> anyhow::Result<Option<Self>> {
        if line.trim().is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
        let [_, source, destination, spi, cipher, cipher_key, integrity, integrity_key, ..] = fields[..] else {
            bail!("expected 8 fields: {} are there", fields.len());
        };
        let cipher_key = craft::hex(cipher_key)?;
        let suite = suite(cipher, integrity, cipher_key.len())?;
        let keymat = [cipher_key, craft::hex(integrity_key)?].concat();
        ensure!(keymat.len() == suite.keymat_len(), "keys of {} bytes where {} are needed", keymat.len(), suite.keymat_len());
        let spi = u32::from_str_radix(spi.trim_start_matches("0x"), 16).context("SPI")?;
        Ok(Some(Self { source: source.parse()?, destination: destination.parse()?, spi, suite, keymat }))
    }
}

/// From Wireshark's names.
fn suite(cipher: &str, integrity: &str, key_len: usize) -> anyhow::Result<Suite> {
    let cipher = match (cipher, key_len) {
        ("AES-CBC [RFC3602]", 16) => Cipher::Aes128,
        ("AES-CBC [RFC3602]", 24) => Cipher::Aes192,
        ("AES-CBC [RFC3602]", 32) => Cipher::Aes256,
        ("TripleDES-CBC [RFC2451]", 24) => Cipher::TripleDes,
        _ => bail!("cipher {cipher:?} with {key_len} bytes"),
    };
    let integrity = match integrity {
        "HMAC-MD5-96 [RFC2403]" => Integrity::HmacMd5_96,
        "HMAC-SHA-1-96 [RFC2404]" => Integrity::HmacSha1_96,
        "HMAC-SHA-256-128 [RFC4868]" => Integrity::HmacSha256_128,
        "HMAC-SHA-384-192 [RFC4868]" => Integrity::HmacSha384_192,
        "HMAC-SHA-512-256 [RFC4868]" => Integrity::HmacSha512_256,
        _ => bail!("integrity {integrity:?}"),
    };
    Ok(Suite::new(cipher, Some(integrity))?)
}
