//! The two packet threads. Each waits for its descriptors, moves a batch through its direction of [`datapath`](crate::datapath), and waits again.
//!
//! ```text
//!  tandem-out   poll(TUN, wake) -> read up to 64 -> Outbound::process -> sendmmsg per socket; answers back to the TUN
//!  tandem-in    poll(sockets, wake) -> recvmmsg up to 64 -> Inbound::process -> TUN; IKE on port 4500 -> Notices
//! ```
//!
//! They know no tokio and never sleep on a timer: idle costs nothing. The control path wakes them through an eventfd when it has
//! swapped a table, so that the keys of an SA that is gone are wiped also where no packet comes. A thread that ends without having
//! been told to is reported by [`PacketThreads::failed`]; the process then ends.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use tandem_esp::{HEADROOM, Packet, TAILROOM, port4500};
use thiserror::Error;
use tokio::sync::mpsc;

use super::clock;
use super::mmsg::{BATCH, Incoming, Messages, Outgoing};
use super::sockets::{Kind, NAT_PORT, Sockets};
use super::tun::{Read, Tun};
use crate::datapath::{Control, Inbound, InboundBatch, Outbound, OutboundBatch, Received, Sealed};
use crate::offload::{self, Segmentation};
use crate::sadb::{Inject, Notice, OuterPath, Tables};
use crate::stats::{DropReason, Drops};

/// IKE datagrams that may wait for the control path; more are dropped and counted, as a flood should be.
const IKE_QUEUE: usize = 256;
/// Other notices that may wait. They are limited in rate where they are made.
const NOTICE_QUEUE: usize = 1024;
/// Packets of our own (echoes) that may wait for the outbound thread.
const INJECT_QUEUE: usize = 256;
/// How long the outbound thread waits for room in a socket's buffer. Then the packets of that path are dropped, so that a dead
/// uplink does not hold up the living one.
const SEND_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
/// Room for one message on port 4500, in bytes: a run of datagrams as long as an IP packet can be; and how many of them are read at once.
const LARGEST_RUN: usize = 64 << 10;
const RUNS: usize = 8;
/// Bytes for what one batch from the TUN device may become, and how much of it a run of segments may need behind itself.
const OUT_ARENA: usize = 1 << 20;
const SPLIT_ROOM: usize = 256 << 10;
/// The longest IP packet in bytes, and one more: a full buffer means that the packet was cut.
const LONGEST_READ: usize = (64 << 10) + 1;
/// How many packets are handed to the kernel as one: what the kernel's own receive offload makes of full-size segments.
const LONGEST_RUN: usize = 64;
/// Least room for a packet, in bytes: any inner packet of an Ethernet path, any outer one.
const SMALLEST_SLOT: usize = 2048;

/// Why the packet path stands still.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// A bug.
    #[error("the thread {0} panicked")]
    Panicked(&'static str),
    /// The device or a descriptor is gone.
    #[error("the thread {thread} cannot go on: {source}")]
    Broken {
        /// Which thread.
        thread: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The running packet path, as the control path holds it. Dropping it stops the threads.
#[derive(Debug)]
pub struct PacketThreads {
    shared: Arc<Shared>,
    injects: SyncSender<Inject>,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<WorkerError>,
}

/// What the packet path and port 500 tell the control path.
#[derive(Debug)]
pub struct Notices {
    path: mpsc::Receiver<Notice>,
    ike: mpsc::Receiver<Notice>,
    ike_sink: mpsc::Sender<Notice>,
}

/// What both threads and the control path see.
#[derive(Debug)]
struct Shared {
    tun: Arc<Tun>,
    tables: ArcSwap<Tables>,
    sockets: ArcSwap<Sockets>,
    drops: Arc<Drops>,
    stop: AtomicBool,
    wake_out: OwnedFd,
    wake_in: OwnedFd,
    slot: usize,
}

impl PacketThreads {
    /// Starts both threads. `largest` is the largest MTU, in bytes, that the TUN device and the uplinks will have: it sets the size of the buffers.
    pub fn start(tun: Arc<Tun>, sockets: Arc<Sockets>, drops: Arc<Drops>, largest: u16) -> io::Result<(Self, Notices)> {
        let wake = || eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC);
        // One byte more than the largest packet: a full buffer means that the packet was cut.
        let slot = (HEADROOM + usize::from(largest) + 1 + TAILROOM).max(SMALLEST_SLOT).next_multiple_of(64);
        let shared = Arc::new(Shared {
            tun,
            tables: ArcSwap::default(),
            sockets: ArcSwap::new(sockets),
            drops,
            stop: AtomicBool::new(false),
            wake_out: wake()?,
            wake_in: wake()?,
            slot,
        });
        let (path_sink, path) = mpsc::channel(NOTICE_QUEUE);
        let (ike_sink, ike) = mpsc::channel(IKE_QUEUE);
        let queues = Queues { path: path_sink, ike: ike_sink.clone() };
        let (ended_sink, ended) = mpsc::unbounded_channel();
        let (injects, inject_queue) = sync_channel(INJECT_QUEUE);

        let mut running = Self { shared: shared.clone(), injects, threads: Vec::with_capacity(2), ended };
        let (s, q) = (shared.clone(), queues.clone());
        running.threads.push(spawn("tandem-out", ended_sink.clone(), move || OutThread::new(&s, q).run(&inject_queue))?);
        running.threads.push(spawn("tandem-in", ended_sink, move || InThread::new(&shared, queues).run())?);
        Ok((running, Notices { path, ike, ike_sink }))
    }

    /// Puts new tables in force. Both threads see them before their next batch, at once if they are idle.
    pub fn publish(&self, tables: Arc<Tables>) {
        self.shared.tables.store(tables);
        self.shared.wake();
    }

    /// Puts other sockets in force, after a reload or when an interface has come back under a new index.
    pub fn replace_sockets(&self, sockets: Arc<Sockets>) {
        self.shared.sockets.store(sockets);
        self.shared.wake();
    }

    /// Sends a packet of our own. Returns false if too many are waiting already.
    pub fn inject(&self, inject: Inject) -> bool {
        let taken = self.injects.try_send(inject).is_ok();
        if taken {
            signal(&self.shared.wake_out);
        }
        taken
    }

    /// Waits until a thread has ended that should not have. Safe to cancel.
    pub async fn failed(&mut self) -> WorkerError {
        match self.ended.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Stops both threads and waits for them, a batch at most.
    pub fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
        for thread in self.threads.drain(..) {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for PacketThreads {
    fn drop(&mut self) {
        self.halt();
    }
}

impl Notices {
    /// The next notice; what the packet path says goes before IKE datagrams, of which there may be a flood. Safe to cancel.
    pub async fn next(&mut self) -> Notice {
        let notice = tokio::select! {
            biased;
            notice = self.path.recv() => notice,
            notice = self.ike.recv() => notice,
        };
        match notice {
            Some(notice) => notice,
            // Both threads are gone; `PacketThreads::failed` says why.
            None => std::future::pending().await,
        }
    }

    /// Where readers of port 500 put IKE datagrams: the argument of [`Sockets::read_ike`].
    pub fn ike_sink(&self) -> &mpsc::Sender<Notice> {
        &self.ike_sink
    }
}

/// The queues to the control path; a full one refuses.
#[derive(Clone, Debug)]
struct Queues {
    path: mpsc::Sender<Notice>,
    ike: mpsc::Sender<Notice>,
}

impl Control for Queues {
    fn notify(&mut self, notice: Notice) -> bool {
        let queue = if matches!(notice, Notice::Ike { .. }) { &self.ike } else { &self.path };
        queue.try_send(notice).is_ok()
    }
}

impl Shared {
    fn wake(&self) {
        signal(&self.wake_out);
        signal(&self.wake_in);
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

fn signal(wake: &OwnedFd) {
    // The only error is a counter that is full, and then the thread is awake already.
    let _ = rustix::io::write(wake, &1u64.to_ne_bytes());
}

fn clear(wake: &OwnedFd) {
    let _ = rustix::io::read(wake, &mut [0u8; 8]);
}

fn spawn(
    name: &'static str,
    ended: mpsc::UnboundedSender<WorkerError>,
    body: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    /// Tells of a panic, whatever is being unwound.
    struct Guard(&'static str, mpsc::UnboundedSender<WorkerError>);
    impl Drop for Guard {
        fn drop(&mut self) {
            if thread::panicking() {
                let _ = self.1.send(WorkerError::Panicked(self.0));
            }
        }
    }
    thread::Builder::new().name(name.to_owned()).spawn(move || {
        let guard = Guard(name, ended);
        if let Err(source) = body() {
            let _ = guard.1.send(WorkerError::Broken { thread: name, source });
        }
    })
}

/// Waits for one of these, however long.
fn wait(fds: &mut [PollFd<'_>]) -> io::Result<()> {
    match poll(fds, None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

struct OutThread<'a> {
    shared: &'a Shared,
    path: Outbound,
    batch: OutboundBatch,
    sender: Sender<'a>,
}

impl<'a> OutThread<'a> {
    fn new(shared: &'a Shared, queues: Queues) -> Self {
        let path = Outbound::new(shared.drops.clone(), Box::new(queues.clone()));
        let batch = OutboundBatch { arena: vec![0; OUT_ARENA], ..OutboundBatch::default() };
        Self { shared, path, batch, sender: Sender::new(&shared.drops, queues) }
    }

    fn run(mut self, injects: &Receiver<Inject>) -> io::Result<()> {
        while !self.shared.stopping() {
            self.path.update(&self.shared.tables.load());
            let sockets = self.shared.sockets.load();
            let more = self.read()?;
            if !self.batch.packets.is_empty() {
                let now = clock::coarse_ms();
                self.path.process(now, &mut self.batch);
                self.deliver(now, &sockets);
            }
            while let Ok(inject) = injects.try_recv() {
                self.inject(&inject, &sockets);
            }
            drop(sockets);
            if !more {
                let tun = self.shared.tun.as_fd();
                let mut fds = [PollFd::from_borrowed_fd(tun, PollFlags::IN), PollFd::new(&self.shared.wake_out, PollFlags::IN)];
                wait(&mut fds)?;
                if !fds[1].revents().is_empty() {
                    clear(&self.shared.wake_out);
                }
            }
        }
        Ok(())
    }

    /// Reads what waits in the TUN device, a batch at most. Returns whether there may be more.
    fn read(&mut self) -> io::Result<bool> {
        self.batch.packets.clear();
        let mut free = 0;
        while self.batch.packets.len() < BATCH && free + HEADROOM + LONGEST_READ + SPLIT_ROOM <= self.batch.arena.len() {
            let start = free + HEADROOM;
            let Some(buffer) = self.batch.arena.get_mut(start..start + LONGEST_READ) else { break };
            match self.shared.tun.read(buffer)? {
                Read::Packet(len) => {
                    self.batch.packets.push(Packet { start, len });
                    free = behind(start + len);
                }
                Read::Segments { len, segment } => match self.split(Packet { start, len }, segment) {
                    Some(end) => free = end,
                    None => self.shared.drops.count(DropReason::NotIp),
                },
                Read::Damaged => self.shared.drops.count(DropReason::NotIp),
                Read::Empty => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Writes the segments of a run behind it. Returns where free room begins; `None` if it is no run, or one of absurdly many segments.
    fn split(&mut self, run: Packet, segment: usize) -> Option<usize> {
        let base = behind(run.start + run.len);
        let (front, back) = self.batch.arena.split_at_mut_checked(base)?;
        let packet = front.get(run.range())?;
        let segmentation = Segmentation::of(packet, segment)?;
        let stride = behind(HEADROOM + segmentation.largest());
        let room = back.get_mut(..segmentation.count() * stride).filter(|room| room.len() <= SPLIT_ROOM)?;
        for (index, place) in room.chunks_exact_mut(stride).enumerate() {
            let len = segmentation.write(packet, index, place.get_mut(HEADROOM..)?);
            self.batch.packets.push(Packet { start: base + index * stride + HEADROOM, len });
        }
        Some(base + segmentation.count() * stride)
    }

    fn inject(&mut self, inject: &Inject, sockets: &Sockets) {
        let room = self.shared.slot - HEADROOM - TAILROOM;
        let len = inject.packet.len();
        let Some(place) = self.batch.arena.get_mut(HEADROOM..HEADROOM + len).filter(|_| len <= room) else {
            self.shared.drops.count(DropReason::TooBig);
            return;
        };
        place.copy_from_slice(&inject.packet);
        self.batch.packets.clear();
        self.batch.packets.push(Packet { start: HEADROOM, len });
        self.path.inject(inject.connection, &mut self.batch);
        self.deliver(clock::coarse_ms(), sockets);
    }

    /// Sends what was sealed and gives back what was returned.
    fn deliver(&mut self, now_ms: u64, sockets: &Sockets) {
        self.sender.send(now_ms, sockets, &self.batch.arena, &self.batch.sealed);
        self.batch.sealed.clear();
        give(self.shared, &mut self.batch.arena, &self.batch.returned);
        self.batch.returned.clear();
    }
}

/// Where the next packet may begin, with room behind one that ends here; aligned to a cache line.
fn behind(end: usize) -> usize {
    (end + TAILROOM).next_multiple_of(64)
}

/// Hands packets to the kernel through the TUN device, in order, runs of segments as one.
fn give(shared: &Shared, arena: &mut [u8], packets: &[Packet]) {
    let mut rest = packets;
    while !rest.is_empty() {
        let run = offload::coalesce(arena, rest, LONGEST_RUN);
        let (mine, others) = rest.split_at(run.packets);
        rest = others;
        let mut parts = [IoSlice::new(&[]); 1 + LONGEST_RUN];
        parts[0] = IoSlice::new(&run.header);
        for (index, (part, packet)) in parts[1..].iter_mut().zip(mine).enumerate() {
            let start = if index == 0 { packet.start } else { packet.start + run.headers_len };
            *part = IoSlice::new(arena.get(start..packet.start + packet.len).unwrap_or_default());
        }
        if !shared.tun.write(&parts[..=mine.len()]) {
            shared.drops.add(DropReason::TunFull, mine.len() as u64);
        }
    }
}

/// Sends sealed packets in their order, as many per system call as go through the same socket.
struct Sender<'a> {
    drops: &'a Drops,
    queues: Queues,
    messages: Messages,
    run: Vec<Outgoing>,
    /// Whether the kernel takes runs of equal datagrams as one message (UDP segmentation offload); until it has refused one.
    segmented: bool,
    /// The path whose socket had no room for [`SEND_WAIT`]; it is not waited for again until a packet has gone through it.
    stalled: Option<IpAddr>,
    told_mtu_ms: Option<u64>,
}

impl<'a> Sender<'a> {
    fn new(drops: &'a Drops, queues: Queues) -> Self {
        Self { drops, queues, messages: Messages::new(), run: Vec::with_capacity(BATCH), segmented: true, stalled: None, told_mtu_ms: None }
    }

    fn send(&mut self, now_ms: u64, sockets: &Sockets, arena: &[u8], sealed: &[Sealed]) {
        for run in sealed.chunk_by(|a, b| leaves_from(&a.path) == leaves_from(&b.path)) {
            let Some(first) = run.first() else { continue };
            let Some(socket) = sockets.of(&first.path) else {
                self.drops.add(DropReason::SendFailed, run.len() as u64);
                continue;
            };
            for part in run.chunks(BATCH) {
                let segmented = self.segmented && leaves_from(&first.path).1;
                self.send_run(now_ms, socket, arena, part, segmented);
            }
        }
    }

    fn send_run(&mut self, now_ms: u64, socket: BorrowedFd<'_>, arena: &[u8], sealed: &[Sealed], segmented: bool) {
        self.run.clear();
        self.run.extend(sealed.iter().map(|s| Outgoing { packet: s.packet, remote: goes_to(&s.path), tos: s.tos }));
        let mut done = 0;
        while let (Some(rest), Some(next)) = (self.run.get(done..), sealed.get(done)) {
            let (local, _) = leaves_from(&next.path);
            let error = match self.messages.send(socket, arena, rest, segmented) {
                Ok(n) => {
                    done += n;
                    if self.stalled == Some(local) {
                        self.stalled = None;
                    }
                    continue;
                }
                Err(e) => Errno::from_io_error(&e),
            };
            match error {
                Some(Errno::INTR) => continue,
                Some(Errno::AGAIN) => {
                    if self.stalled != Some(local) && has_room(socket) {
                        continue;
                    }
                    self.stalled = Some(local);
                    self.drops.add(DropReason::SendFailed, rest.len() as u64);
                    return;
                }
                // A kernel or device without it, or one of the run is too large: one by one, then.
                Some(error @ (Errno::IO | Errno::INVAL | Errno::MSGSIZE)) if segmented => {
                    self.segmented &= error == Errno::MSGSIZE;
                    return self.send_run(now_ms, socket, arena, sealed.get(done..).unwrap_or_default(), false);
                }
                Some(Errno::MSGSIZE) if self.told_mtu_ms.is_none_or(|told| now_ms.saturating_sub(told) >= 1000) => {
                    self.told_mtu_ms = Some(now_ms);
                    self.queues.notify(Notice::PathMtu { path: next.path });
                }
                _ => {}
            }
            self.drops.count(DropReason::SendFailed);
            done += 1;
        }
    }
}

fn has_room(socket: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
    matches!(poll(&mut fds, Some(&SEND_WAIT)), Ok(n) if n > 0)
}

/// What decides the socket: our address, and whether in UDP.
fn leaves_from(path: &OuterPath) -> (IpAddr, bool) {
    match path {
        OuterPath::Esp { local, .. } => (*local, false),
        OuterPath::Udp { local, .. } => (local.ip(), true),
    }
}

fn goes_to(path: &OuterPath) -> SocketAddr {
    match path {
        OuterPath::Esp { remote, .. } => SocketAddr::new(*remote, 0),
        OuterPath::Udp { remote, .. } => *remote,
    }
}

struct InThread<'a> {
    shared: &'a Shared,
    path: Inbound,
    batch: InboundBatch,
    messages: Messages,
    queues: Queues,
}

impl<'a> InThread<'a> {
    fn new(shared: &'a Shared, queues: Queues) -> Self {
        let path = Inbound::new(shared.drops.clone(), Box::new(queues.clone()));
        let batch = InboundBatch { arena: vec![0; (BATCH * shared.slot).max(RUNS * LARGEST_RUN)], ..InboundBatch::default() };
        Self { shared, path, batch, messages: Messages::new(), queues }
    }

    fn run(mut self) -> io::Result<()> {
        while !self.shared.stopping() {
            let sockets = self.shared.sockets.load_full();
            self.run_with(&sockets)?;
        }
        Ok(())
    }

    /// Reads these sockets until there are others, or none.
    fn run_with(&mut self, sockets: &Arc<Sockets>) -> io::Result<()> {
        let sources: Vec<_> = sockets.readable().collect();
        let mut fds: Vec<_> = sources.iter().map(|(_, _, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
        fds.push(PollFd::new(&self.shared.wake_in, PollFlags::IN));
        loop {
            self.path.update(&self.shared.tables.load());
            wait(&mut fds)?;
            if fds.last().is_some_and(|wake| !wake.revents().is_empty()) {
                clear(&self.shared.wake_in);
                if self.shared.stopping() || !Arc::ptr_eq(&self.shared.sockets.load(), sockets) {
                    return Ok(());
                }
            }
            for ((kind, local, fd), polled) in sources.iter().zip(&fds) {
                if !polled.revents().is_empty() {
                    self.read(*kind, *local, *fd);
                }
            }
        }
    }

    /// Handles one batch from one socket. What is left keeps the descriptor readable.
    fn read(&mut self, kind: Kind, local: IpAddr, fd: BorrowedFd<'_>) {
        // An error is one that the network reported earlier; the kernel has forgotten it now.
        let stride = match kind {
            Kind::Esp => self.shared.slot,
            Kind::Nat => LARGEST_RUN,
        };
        let Ok(n) = self.messages.receive(fd, &mut self.batch.arena, stride) else { return };
        self.batch.received.clear();
        for i in 0..n {
            match kind {
                Kind::Esp => self.sort_raw(i, local),
                Kind::Nat => self.sort_run(i, local),
            }
        }
        if self.batch.received.is_empty() {
            return;
        }
        // The keys of a packet may be newer than this thread's last look at the tables.
        self.path.update(&self.shared.tables.load());
        self.path.process(clock::coarse_ms(), &mut self.batch);
        give(self.shared, &mut self.batch.arena, &self.batch.delivered);
        self.batch.delivered.clear();
    }

    /// A raw socket's packet: IPv4 with its header, IPv6 without.
    fn sort_raw(&mut self, i: usize, local: IpAddr) {
        let slot = i * self.shared.slot;
        let Some(incoming) = self.messages.incoming(i).filter(|m| !m.cut) else {
            return self.shared.drops.count(DropReason::Malformed);
        };
        let (header, tos) = match (local, self.batch.arena.get(slot..slot + incoming.len)) {
            (IpAddr::V4(_), Some([version_and_length, tos, ..])) => (usize::from(version_and_length & 0x0f) * 4, *tos),
            (IpAddr::V6(_), Some(_)) => (0, incoming.tos),
            _ => return self.shared.drops.count(DropReason::Malformed),
        };
        let Some(len) = incoming.len.checked_sub(header) else {
            return self.shared.drops.count(DropReason::Malformed);
        };
        let remote = SocketAddr::new(incoming.remote.ip(), 0);
        self.batch.received.push(Received { packet: Packet { start: slot + header, len }, local, remote, in_udp: false, tos });
    }

    /// A message on port 4500: one datagram, or a run of them that the kernel has put together (UDP receive offload).
    fn sort_run(&mut self, i: usize, local: IpAddr) {
        let slot = i * LARGEST_RUN;
        let Some(incoming) = self.messages.incoming(i).filter(|m| !m.cut) else {
            return self.shared.drops.count(DropReason::Malformed);
        };
        let end = slot + incoming.len;
        for start in (slot..end).step_by(incoming.segment.max(1)) {
            let len = incoming.segment.min(end - start);
            self.sort_udp(Packet { start, len }, &incoming, local);
        }
    }

    /// A datagram on port 4500: ESP, IKE or a keepalive (RFC 3948 section 2).
    fn sort_udp(&mut self, packet: Packet, incoming: &Incoming, local: IpAddr) {
        let Some(payload) = self.batch.arena.get(packet.range()) else { return };
        match port4500::classify(payload) {
            port4500::Kind::Esp => {
                self.batch.received.push(Received { packet, local, remote: incoming.remote, in_udp: true, tos: incoming.tos });
            }
            port4500::Kind::Ike => {
                // The place first: a flood must not make us copy what is then dropped.
                match self.queues.ike.try_reserve() {
                    Ok(place) => {
                        let local = SocketAddr::new(local, NAT_PORT);
                        place.send(Notice::Ike { local, remote: incoming.remote, datagram: payload.to_vec() });
                    }
                    Err(_) => self.shared.drops.count(DropReason::ControlFull),
                }
            }
            port4500::Kind::Keepalive => {}
            port4500::Kind::Runt => self.shared.drops.count(DropReason::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_thread_that_panics_is_reported() {
        let (sink, mut ended) = mpsc::unbounded_channel();
        let thread = spawn("tandem-out", sink, || panic!("a bug, made for this test")).unwrap();
        assert!(matches!(ended.recv().await, Some(WorkerError::Panicked("tandem-out"))));
        assert!(thread.join().is_err());
    }
}
