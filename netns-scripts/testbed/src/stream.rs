//! A steady stream of numbered datagrams, counted one way: both ends live in this process, so what was sent is known exactly, and one clock stamps both.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns;

/// How long after the last datagram was sent another may still arrive.
const AFTERGLOW: Duration = Duration::from_secs(1);
/// Bytes of kernel buffer: 4 s of the fastest stream the scenarios use, so that the counting end never is what loses.
const BUFFER: usize = 16 << 20;
/// Sequence number, and nanoseconds since the start.
const HEADER: usize = 16;
/// Gaps told one by one; more are only counted.
const GAPS_TOLD: usize = 50;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The first end, as NAMESPACE=ADDRESS.
    #[arg(long)]
    from: End,
    /// The second end.
    #[arg(long)]
    to: End,
    /// Datagrams per second, each way.
    #[arg(long, default_value_t = 1000)]
    rate: u64,
    /// Bytes of UDP payload.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(HEADER as u64..=65_000))]
    size: u64,
    /// UDP port of the second end; with --both the first end uses the next one.
    #[arg(long, default_value_t = 7000)]
    port: u16,
    /// Ends by itself after so many seconds; otherwise at SIGTERM.
    #[arg(long)]
    seconds: Option<f64>,
    /// Also a stream from the second end to the first, independent of the other.
    #[arg(long)]
    both: bool,
}

#[derive(Clone)]
struct End {
    namespace: String,
    address: IpAddr,
}

impl FromStr for End {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, address) = text.split_once('=').context("expected NAMESPACE=ADDRESS")?;
        Ok(Self { namespace: namespace.to_owned(), address: address.parse()? })
    }
}

/// How one direction fared.
#[derive(Debug, Serialize)]
struct Report {
    sent: u64,
    received: u64,
    lost: u64,
    /// What the losses are in time: lost x seconds / sent.
    lost_ms: f64,
    duplicated: u64,
    reordered: u64,
    /// The longest time without an arrival, from the first datagram sent to the last.
    longest_silence_ms: f64,
    /// When that began, in seconds since the first datagram was sent.
    longest_silence_at_s: f64,
    median_delay_ms: f64,
    max_delay_ms: f64,
    gap_count: u64,
    gaps: Vec<Gap>,
}

/// Datagrams lost in a row.
#[derive(Debug, Serialize)]
struct Gap {
    at_s: f64,
    lost: u64,
}

#[derive(Serialize)]
struct Reports {
    rate: u64,
    seconds: f64,
    there: Report,
    back: Option<Report>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let (first, second) = (&args.from, &args.to);
    let there = Direction::open(first, second, args.port)?;
    let back = args.both.then(|| Direction::open(second, first, args.port + 1)).transpose()?;
    let start = Instant::now();
    let (there, back) = std::thread::scope(|scope| {
        let there = scope.spawn(|| there.run(start, args, &stop));
        let back = back.as_ref().map(|back| scope.spawn(|| back.run(start, args, &stop)));
        (there.join(), back.map(|thread| thread.join()))
    });
    let panicked = |_| anyhow::anyhow!("a stream's thread panicked");
    let seconds = start.elapsed().saturating_sub(AFTERGLOW).as_secs_f64();
    let reports =
        Reports { rate: args.rate, seconds, there: there.map_err(panicked)??, back: back.transpose().map_err(panicked)?.transpose()? };
    println!("{}", serde_json::to_string_pretty(&reports)?);
    Ok(())
}

/// One stream: its sending and its receiving socket.
struct Direction {
    sender: UdpSocket,
    receiver: UdpSocket,
    target: SocketAddr,
    sent: AtomicU64,
    done: AtomicBool,
}

impl Direction {
    fn open(from: &End, to: &End, port: u16) -> anyhow::Result<Self> {
        let target = SocketAddr::new(to.address, port);
        let receiver = netns::inside(&to.namespace, || socket(target))?;
        let sender = netns::inside(&from.namespace, || socket(SocketAddr::new(from.address, 0)))?;
        Ok(Self { sender, receiver, target, sent: AtomicU64::new(0), done: AtomicBool::new(false) })
    }

    fn run(&self, start: Instant, args: &Args, stop: &AtomicBool) -> anyhow::Result<Report> {
        std::thread::scope(|scope| {
            let arrivals = scope.spawn(|| self.receive(start));
            self.send(start, args, stop);
            let seconds = start.elapsed().as_secs_f64();
            std::thread::sleep(AFTERGLOW);
            self.done.store(true, Ordering::Relaxed);
            let arrivals = arrivals.join().map_err(|_| anyhow::anyhow!("the receiving thread panicked"))??;
            Ok(arrivals.report(self.sent.load(Ordering::Relaxed), args.rate, seconds))
        })
    }

    /// Datagram `n` is due at `n / rate`. One the kernel refuses (link down, no route) counts as sent: the host wanted it to go.
    fn send(&self, start: Instant, args: &Args, stop: &AtomicBool) {
        let mut datagram = vec![0; usize::try_from(args.size).unwrap_or(HEADER)];
        let limit = args.seconds.map_or(u64::MAX, |seconds| (seconds * args.rate as f64) as u64);
        let mut sequence = 0;
        while sequence < limit && !stop.load(Ordering::Relaxed) {
            let due = Duration::from_nanos(sequence * 1_000_000_000 / args.rate);
            if let Some(wait) = due.checked_sub(start.elapsed()) {
                std::thread::sleep(wait);
            }
            if let Some((number, stamp)) = datagram.get_mut(..HEADER).and_then(|header| header.split_at_mut_checked(8)) {
                number.copy_from_slice(&sequence.to_be_bytes());
                stamp.copy_from_slice(&nanos(start).to_be_bytes());
            }
            let _refused_counts_as_sent = self.sender.send_to(&datagram, self.target);
            sequence += 1;
            self.sent.store(sequence, Ordering::Relaxed);
        }
    }

    fn receive(&self, start: Instant) -> anyhow::Result<Arrivals> {
        let mut arrivals = Arrivals::default();
        let mut buffer = vec![0; 1 << 16];
        while !self.done.load(Ordering::Relaxed) {
            match self.receiver.recv(&mut buffer) {
                Ok(_) => {
                    let (number, stamp) = (word(&buffer, 0), word(&buffer, 8));
                    // Anything else that finds its way to this port is not ours.
                    if number < self.sent.load(Ordering::Relaxed) + 1_000_000 {
                        arrivals.add(number, stamp, nanos(start));
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(arrivals)
    }
}

/// What came, by sequence number.
#[derive(Default)]
struct Arrivals {
    /// Nanoseconds of the first arrival of each number; 0: none.
    at: Vec<u64>,
    delays: Vec<u64>,
    highest: Option<u64>,
    last: u64,
    silence: (u64, u64),
    duplicated: u64,
    reordered: u64,
}

impl Arrivals {
    fn add(&mut self, number: u64, stamp: u64, now: u64) {
        let index = number as usize;
        if self.at.len() <= index {
            self.at.resize(index + 1, 0);
        }
        if self.at.get(index).is_some_and(|at| *at != 0) {
            self.duplicated += 1;
            return;
        }
        if let Some(at) = self.at.get_mut(index) {
            *at = now.max(1);
        }
        if self.highest.is_some_and(|highest| number < highest) {
            self.reordered += 1;
        }
        self.highest = self.highest.max(Some(number));
        self.delays.push(now.saturating_sub(stamp));
        self.silence = self.silence.max((now.saturating_sub(self.last), self.last));
        self.last = now;
    }

    fn report(mut self, sent: u64, rate: u64, seconds: f64) -> Report {
        self.at.resize(sent as usize, 0);
        let end = (seconds * 1e9) as u64;
        self.silence = self.silence.max((end.saturating_sub(self.last), self.last));
        let received = self.at.iter().filter(|at| **at != 0).count() as u64;
        let (mut gaps, mut gap_count, mut run) = (Vec::new(), 0, 0);
        for (index, at) in self.at.iter().chain([&1]).enumerate() {
            match at {
                0 => run += 1,
                _ if run > 0 => {
                    gap_count += 1;
                    if gaps.len() < GAPS_TOLD {
                        gaps.push(Gap { at_s: (index as u64 - run) as f64 / rate as f64, lost: run });
                    }
                    run = 0;
                }
                _ => {}
            }
        }
        self.delays.sort_unstable();
        let ms = |nanos: Option<&u64>| nanos.map_or(0.0, |nanos| *nanos as f64 / 1e6);
        Report {
            sent,
            received,
            lost: sent - received,
            lost_ms: if sent == 0 { 0.0 } else { (sent - received) as f64 * seconds * 1000.0 / sent as f64 },
            duplicated: self.duplicated,
            reordered: self.reordered,
            longest_silence_ms: self.silence.0 as f64 / 1e6,
            longest_silence_at_s: self.silence.1 as f64 / 1e9,
            median_delay_ms: ms(self.delays.get(self.delays.len() / 2)),
            max_delay_ms: ms(self.delays.last()),
            gap_count,
            gaps,
        }
    }
}

fn socket(address: SocketAddr) -> anyhow::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    socket.bind(&address.into()).with_context(|| format!("binding {address}"))?;
    Ok(socket.into())
}

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map_or(u64::MAX, u64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(numbers: &[u64]) -> Arrivals {
        let mut arrivals = Arrivals::default();
        for number in numbers {
            arrivals.add(*number, *number * 1_000_000, *number * 1_000_000 + 500_000);
        }
        arrivals
    }

    #[test]
    fn losses_are_counted_and_told_as_gaps() {
        let report = arrivals(&[0, 1, 4, 5, 7]).report(10, 1000, 0.010);
        assert_eq!((report.sent, report.received, report.lost), (10, 5, 5));
        let gaps: Vec<_> = report.gaps.iter().map(|gap| gap.lost).collect();
        assert_eq!(gaps, [2, 1, 2]);
        assert!((report.lost_ms - 5.0).abs() < 1e-9);
    }

    #[test]
    fn duplicates_and_late_ones_are_no_losses() {
        let report = arrivals(&[0, 2, 1, 2, 3]).report(4, 1000, 0.004);
        assert_eq!((report.lost, report.duplicated, report.reordered), (0, 1, 1));
    }

    #[test]
    fn silence_until_the_end_counts() {
        let report = arrivals(&[0, 1, 2]).report(100, 1000, 0.1);
        assert!(report.longest_silence_ms > 97.0, "{report:?}");
    }
}
