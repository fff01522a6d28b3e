//! An ESP packet out of a capture, sent once more.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use crate::craft;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The namespace it is sent from.
    #[arg(long)]
    namespace: String,
    /// A capture as tcpdump writes it, of an Ethernet device.
    #[arg(long)]
    pcap: PathBuf,
    /// Only packets to this address.
    #[arg(long)]
    to: Ipv4Addr,
    /// How often.
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// Flips the last bit of the ICV first.
    #[arg(long)]
    damage: bool,
}

/// Sends the last ESP packet to `--to`, raw or in UDP, that the capture holds.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let capture = std::fs::read(&args.pcap).with_context(|| args.pcap.display().to_string())?;
    let mut packet = frames(&capture)?
        .into_iter()
        .filter_map(|frame| esp_packet(frame, args.to))
        .next_back()
        .with_context(|| format!("no ESP packet to {} in {}", args.to, args.pcap.display()))?;
    if args.damage
        && let Some(last) = packet.last_mut()
    {
        *last ^= 1;
    }
    craft::send(&args.namespace, &packet, args.count)
}

/// The frames of a pcap file (magic number 0xa1b2c3d4, written on a little-endian machine).
fn frames(capture: &[u8]) -> anyhow::Result<Vec<&[u8]>> {
    let (header, mut rest) = capture.split_at_checked(24).context("shorter than a pcap header")?;
    ensure!(header.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]), "no little-endian pcap file");
    ensure!(header.get(20..24) == Some(&[1, 0, 0, 0]), "not captured on Ethernet");
    let mut frames = Vec::new();
    while let Some((record, after)) = rest.split_at_checked(16) {
        let length = record.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes).context("record header")?;
        let Some((frame, after)) = after.split_at_checked(length as usize) else { bail!("the last record is cut") };
        frames.push(frame);
        rest = after;
    }
    Ok(frames)
}

/// The IP packet of a frame, if it carries ESP to `to`. A UDP checksum may not be filled in yet where the capture was made, so it goes without.
fn esp_packet(frame: &[u8], to: Ipv4Addr) -> Option<Vec<u8>> {
    let packet = frame.get(14..)?;
    let length = usize::from(u16::from_be_bytes(packet.get(2..4)?.try_into().ok()?));
    let mut packet = packet.get(..length)?.to_vec();
    if packet.get(16..20)? != to.octets() || *packet.first()? != 0x45 {
        return None;
    }
    match *packet.get(9)? {
        craft::ESP => Some(packet),
        craft::UDP if packet.get(22..24)? == 4500u16.to_be_bytes() || packet.get(20..22)? == 4500u16.to_be_bytes() => {
            let carries_esp = packet.len() > 28 + 8 && packet.get(28..32)? != [0; 4];
            packet.get_mut(26..28)?.fill(0);
            carries_esp.then_some(packet)
        }
        _ => None,
    }
}
