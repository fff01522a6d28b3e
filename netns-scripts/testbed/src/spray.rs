//! Payloads nobody asked for, from any address: to ports 500 and 4500, with a non-ESP marker and without, and as protocol 50.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{craft, netns};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The namespace they are sent from.
    #[arg(long)]
    namespace: String,
    /// A file with one payload a line, in hexadecimal; lines that begin with # say where they come from.
    #[arg(long)]
    payloads: PathBuf,
    /// Source address; may be repeated.
    #[arg(long, required = true)]
    from: Vec<Ipv4Addr>,
    /// Destination address; may be repeated.
    #[arg(long, required = true)]
    to: Vec<Ipv4Addr>,
    /// How often all of them.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Packets per second.
    #[arg(long, default_value_t = 2000)]
    rate: u32,
    /// As what.
    #[arg(long, value_enum)]
    kind: Kind,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// To port 500, and behind a non-ESP marker to port 4500.
    Ike,
    /// As protocol 50, and without a marker to port 4500.
    Esp,
    /// Only first messages, to port 500, each with a cookie of its own.
    Flood,
}

/// Sends every payload in every way and prints how many packets that were.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.rate > 0, "--rate 0 never sends");
    let text = std::fs::read_to_string(&args.payloads).with_context(|| args.payloads.display().to_string())?;
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let payloads = lines.map(craft::hex).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!payloads.is_empty(), "no payloads in {}", args.payloads.display());
    let socket = netns::inside(&args.namespace, || {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))?;
        socket.set_header_included_v4(true)?;
        Ok(socket)
    })?;
    let start = Instant::now();
    let mut sent = 0_u32;
    for _ in 0..args.rounds {
        for payload in &payloads {
            for (&from, &to) in args.from.iter().flat_map(|from| args.to.iter().map(move |to| (from, to))) {
                for (protocol, bytes) in ways(args.kind, payload, sent)? {
                    let due = Duration::from_secs(1) * sent / args.rate;
                    if let Some(wait) = due.checked_sub(start.elapsed()) {
                        std::thread::sleep(wait);
                    }
                    let packet = craft::ipv4(from, to, protocol, &bytes)?;
                    for part in craft::fragments(packet, sent as u16 | 1) {
                        socket.send_to(&part, &SocketAddr::V4(SocketAddrV4::new(to, 0)).into()).context("sending")?;
                    }
                    sent += 1;
                }
            }
        }
    }
    println!("{sent}");
    Ok(())
}

/// The payload as the kind wants it, by IP protocol.
fn ways(kind: Kind, payload: &[u8], number: u32) -> anyhow::Result<Vec<(u8, Vec<u8>)>> {
    Ok(match kind {
        Kind::Ike => {
            let marked = [&[0; 4], payload].concat();
            vec![(craft::UDP, craft::udp(500, 500, payload)?), (craft::UDP, craft::udp(4500, 4500, &marked)?)]
        }
        Kind::Esp => vec![(craft::ESP, payload.to_vec()), (craft::UDP, craft::udp(4500, 4500, payload)?)],
        Kind::Flood => match first_message(payload, number) {
            Some(message) => vec![(craft::UDP, craft::udp(500, 500, &message)?)],
            None => Vec::new(),
        },
    })
}

/// The payload with a cookie of its own, if it begins an exchange.
fn first_message(payload: &[u8], number: u32) -> Option<Vec<u8>> {
    let mut message = payload.to_vec();
    if message.get(8..16)? != [0; 8] {
        return None;
    }
    message.get_mut(..4)?.copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_be_bytes());
    Some(message)
}
