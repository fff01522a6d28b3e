//! Many datagrams per system call: `recvmmsg` and `sendmmsg` over the packets of a batch, where they lie in its arena.
//!
//! Beside the payload only two things travel: the peer's address and the TOS byte (traffic class) of the outer header.
#![allow(unsafe_code)] // Neither std, socket2 nor rustix offers these two calls.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use libc::{c_int, c_void, cmsghdr, iovec, mmsghdr, sockaddr_in, sockaddr_in6, sockaddr_storage};
use tandem_esp::Packet;

/// How many messages one call moves at most. A message is one datagram, or with UDP segmentation offload a run of them.
pub(super) const BATCH: usize = 64;
/// The largest run of datagrams that the kernel takes as one message: so many (UDP_MAX_SEGMENTS), and so many bytes with the UDP and IPv4 headers.
const MOST_SEGMENTS: usize = 64;
const MOST_BYTES: usize = 65_535 - 20 - 8;

/// A datagram to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    /// Its place in the arena.
    pub(super) packet: Packet,
    /// Where it goes.
    pub(super) remote: SocketAddr,
    /// TOS byte or traffic class of the outer header.
    pub(super) tos: u8,
}

/// What was received: a datagram, or with UDP receive offload a run of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    /// How many bytes of its slot it fills.
    pub(super) len: usize,
    /// Whether it was longer than its slot.
    pub(super) cut: bool,
    /// Where it came from.
    pub(super) remote: SocketAddr,
    /// TOS byte or traffic class of the outer header, if the socket was asked for it; else 0.
    pub(super) tos: u8,
    /// Length of each datagram of the run; the last one may be shorter.
    pub(super) segment: usize,
}

/// Room for one control message that carries an `int`, aligned as the kernel wants it.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct Control([u8; 64]);

/// The messages' headers, kept between calls so that nothing is allocated per batch.
pub(super) struct Messages {
    headers: Box<[mmsghdr; BATCH]>,
    vectors: Box<[iovec; BATCH]>,
    names: Box<[sockaddr_storage; BATCH]>,
    controls: Box<[Control; BATCH]>,
}

impl Messages {
    pub(super) fn new() -> Self {
        // SAFETY: these C structs are plain data; all zeros is a value of each (null pointers of zero length among them).
        let (header, name) = unsafe { (mem::zeroed::<mmsghdr>(), mem::zeroed::<sockaddr_storage>()) };
        Self {
            headers: Box::new([header; BATCH]),
            vectors: Box::new([iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH]),
            names: Box::new([name; BATCH]),
            controls: Box::new([Control([0; 64]); BATCH]),
        }
    }

    /// Receives up to [`BATCH`] datagrams without waiting, datagram `i` into bytes `i * stride..(i + 1) * stride` of the arena.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>, arena: &mut [u8], stride: usize) -> io::Result<usize> {
        let mut count = 0;
        let parts = self.headers.iter_mut().zip(self.vectors.iter_mut()).zip(self.names.iter_mut()).zip(self.controls.iter_mut());
        for ((((header, vector), name), control), slot) in parts.zip(arena.chunks_exact_mut(stride)) {
            *vector = iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            let h = &mut header.msg_hdr;
            h.msg_name = ptr::from_mut(name).cast();
            h.msg_namelen = mem::size_of::<sockaddr_storage>() as libc::socklen_t;
            h.msg_iov = vector;
            h.msg_iovlen = 1;
            h.msg_control = control.0.as_mut_ptr().cast();
            h.msg_controllen = control.0.len() as _;
            h.msg_flags = 0;
            count += 1;
        }
        // SAFETY: the first `count` headers point to memory that lives and is exclusively ours until the call returns: slots of
        // `arena`, and this value's own boxes.
        let n = unsafe { libc::recvmmsg(fd.as_raw_fd(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT, ptr::null_mut()) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    /// What is known of datagram `i` of the last [`receive`](Self::receive), which must have returned more than `i`.
    pub(super) fn incoming(&self, i: usize) -> Option<Incoming> {
        let (header, name) = (self.headers.get(i)?, self.names.get(i)?);
        Some(Incoming {
            len: header.msg_len as usize,
            cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            remote: address(name)?,
            tos: tos(&header.msg_hdr),
            segment: segment(&header.msg_hdr).unwrap_or(header.msg_len as usize),
        })
    }

    /// Sends these datagrams, [`BATCH`] at most, without waiting. Returns how many were sent; an error is about the first one, or with
    /// `segmented` (UDP segmentation offload, for UDP sockets only) about the first run of equal ones.
    pub(super) fn send(&mut self, fd: BorrowedFd<'_>, arena: &[u8], datagrams: &[Outgoing], segmented: bool) -> io::Result<usize> {
        let datagrams = datagrams.get(..BATCH).unwrap_or(datagrams);
        for (vector, datagram) in self.vectors.iter_mut().zip(datagrams) {
            let payload = arena.get(datagram.packet.range()).unwrap_or_default();
            *vector = iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
        }
        let (mut count, mut rest, mut vectors) = (0, datagrams, &mut self.vectors[..]);
        for ((header, name), control) in self.headers.iter_mut().zip(self.names.iter_mut()).zip(self.controls.iter_mut()) {
            let Some(first) = rest.first() else { break };
            let run = if segmented { run_length(rest) } else { 1 };
            let (mine, others) = std::mem::take(&mut vectors).split_at_mut(run);
            (rest, vectors) = (rest.get(run..).unwrap_or_default(), others);
            let h = &mut header.msg_hdr;
            h.msg_namelen = write_address(name, first.remote);
            h.msg_name = ptr::from_mut(name).cast();
            h.msg_iov = mine.as_mut_ptr();
            h.msg_iovlen = run as _;
            h.msg_control = control.0.as_mut_ptr().cast();
            h.msg_controllen = write_controls(control, first, (run > 1).then_some(first.packet.len)) as _;
            h.msg_flags = 0;
            count += 1;
        }
        // SAFETY: as in `receive`; the kernel only reads.
        let n = unsafe { libc::sendmmsg(fd.as_raw_fd(), self.headers.as_mut_ptr(), count, libc::MSG_DONTWAIT) };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        #[allow(clippy::unnecessary_cast, reason = "musl counts in an int")]
        let datagrams = self.headers.iter().take(n).map(|header| header.msg_hdr.msg_iovlen as usize).sum();
        Ok(datagrams)
    }
}

/// How many datagrams from the first on can leave as one message: same way and length, but for the last, which may be shorter.
fn run_length(datagrams: &[Outgoing]) -> usize {
    let Some(first) = datagrams.first() else { return 0 };
    let (mut length, mut bytes) = (0, 0);
    for datagram in datagrams.iter().take(MOST_SEGMENTS) {
        bytes += datagram.packet.len;
        let fits = datagram.remote == first.remote && datagram.tos == first.tos && datagram.packet.len <= first.packet.len;
        if length > 0 && (!fits || bytes > MOST_BYTES) {
            break;
        }
        length += 1;
        if datagram.packet.len < first.packet.len {
            break;
        }
    }
    length
}

/// Asks for runs of datagrams as one message (UDP receive offload). A kernel that cannot gives them one by one.
pub(super) fn receive_runs(socket: &impl AsRawFd) {
    let on: c_int = 1;
    // SAFETY: the kernel reads one int.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_UDP,
            libc::UDP_GRO,
            ptr::from_ref(&on).cast(),
            mem::size_of::<c_int>() as libc::socklen_t,
        );
    }
}

/// Reads the address that the kernel wrote.
fn address(name: &sockaddr_storage) -> Option<SocketAddr> {
    match c_int::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a `sockaddr_in`, as the family says; the storage is large and aligned enough for it.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<sockaddr_in>() };
            let ip = u32::from_be(v4.sin_addr.s_addr).into();
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, for `sockaddr_in6`.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<sockaddr_in6>() };
            Some(SocketAddrV6::new(v6.sin6_addr.s6_addr.into(), u16::from_be(v6.sin6_port), 0, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// Writes an address for the kernel; returns its length in bytes.
fn write_address(name: &mut sockaddr_storage, address: SocketAddr) -> libc::socklen_t {
    match address {
        SocketAddr::V4(a) => {
            // SAFETY: the storage is large and aligned enough for a `sockaddr_in`, and both are plain data.
            let v4 = unsafe { &mut *ptr::from_mut(name).cast::<sockaddr_in>() };
            v4.sin_family = libc::AF_INET as libc::sa_family_t;
            v4.sin_port = a.port().to_be();
            v4.sin_addr.s_addr = u32::from(*a.ip()).to_be();
            mem::size_of::<sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(a) => {
            // SAFETY: as above, for `sockaddr_in6`.
            let v6 = unsafe { &mut *ptr::from_mut(name).cast::<sockaddr_in6>() };
            v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            v6.sin6_port = a.port().to_be();
            v6.sin6_flowinfo = 0;
            v6.sin6_addr.s6_addr = a.ip().octets();
            v6.sin6_scope_id = a.scope_id();
            mem::size_of::<sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Writes the control messages that set the TOS byte and, for a run, the length of its datagrams; returns their length in bytes.
fn write_controls(control: &mut Control, datagram: &Outgoing, segment: Option<usize>) -> usize {
    let (level, kind) = match datagram.remote.ip() {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_TOS),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
    };
    const INT: u32 = mem::size_of::<c_int>() as u32;
    const SHORT: u32 = mem::size_of::<u16>() as u32;
    // SAFETY: the room is aligned like a `cmsghdr` and longer than CMSG_SPACE of an int and of a short together, and CMSG_SPACE keeps the
    // alignment, so headers and data lie inside it.
    unsafe {
        let header = control.0.as_mut_ptr().cast::<cmsghdr>();
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(INT) as _;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast::<c_int>(), c_int::from(datagram.tos));
        let written = libc::CMSG_SPACE(INT) as usize;
        let Some(segment) = segment else { return written };
        let header = control.0.as_mut_ptr().add(written).cast::<cmsghdr>();
        (*header).cmsg_level = libc::SOL_UDP;
        (*header).cmsg_type = libc::UDP_SEGMENT;
        (*header).cmsg_len = libc::CMSG_LEN(SHORT) as _;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast::<u16>(), segment as u16);
        written + libc::CMSG_SPACE(SHORT) as usize
    }
}

/// Reads the length of a run's datagrams from the control messages; `None` if it is one datagram.
fn segment(header: &libc::msghdr) -> Option<usize> {
    // SAFETY: as in `tos`.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(m) = message.as_ref() {
            let is_long_enough = m.cmsg_len >= libc::CMSG_LEN(mem::size_of::<c_int>() as u32) as _;
            if (m.cmsg_level, m.cmsg_type) == (libc::SOL_UDP, libc::UDP_GRO) && is_long_enough {
                let length = ptr::read_unaligned(libc::CMSG_DATA(message).cast::<c_int>());
                return usize::try_from(length).ok().filter(|&length| length > 0);
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    None
}

/// Reads the TOS byte from the control messages; 0 if there is none.
fn tos(header: &libc::msghdr) -> u8 {
    let mut value = 0;
    // SAFETY: the kernel has written `msg_controllen` bytes of control messages to memory that this value still owns. The macros stay
    // inside it; the first byte of either message's data is read only where its length says that there is one.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(header);
        while let Some(m) = message.as_ref() {
            let data: *const c_void = libc::CMSG_DATA(message).cast();
            let len = m.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            match (m.cmsg_level, m.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_TOS) if len >= 1 => {
                    value = *data.cast::<u8>();
                }
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) if len >= mem::size_of::<c_int>() => {
                    value = ptr::read_unaligned(data.cast::<c_int>()) as u8;
                }
                _ => {}
            }
            message = libc::CMSG_NXTHDR(header, message);
        }
    }
    value
}
