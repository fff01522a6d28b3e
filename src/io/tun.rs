//! The TUN device: one read brings an inner IP packet or a run of TCP segments as one, one write hands such to the kernel.
//!
//! Opened by `ioctl` here and not through a crate: the device needs the offload header (`IFF_VNET_HDR`) with offloads chosen by us and
//! packets read and written where the caller wants them, beside the header. `tun-rs` 2.8 ties that header to the offloads it turns on by
//! itself and refuses to adopt a device opened with it; `tun-tap` knows neither the header nor several queues.
//!
//! Each packet has the ten bytes of `struct virtio_net_hdr` (`linux/virtio_net.h`) in front; what they mean is said in `offload.rs`.
#![allow(unsafe_code)] // ioctl has no safe form: its argument's type follows from its number.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use libc::{c_int, c_uint, ifreq};
use rustix::fs::{Mode, OFlags};
use thiserror::Error;

use crate::offload::{HEADER_LEN, Offload, complete_checksum};

/// `TUN_F_CSUM`, `TUN_F_TSO4`, `TUN_F_TSO6` (linux/if_tun.h): what the device may leave to us.
const TUN_F_CSUM: c_uint = 1;
const TUN_F_TSO4: c_uint = 2;
const TUN_F_TSO6: c_uint = 4;
/// Packets that wait between the kernel and us: `txqueuelen`. Twice the kernel's default for TUN, enough for 10 ms of full-size packets at 2 Gbit/s.
const QUEUE_LENGTH: c_int = 1000;

/// Why the device could not be made.
#[derive(Debug, Error)]
pub enum TunError {
    /// There is no `/dev/net/tun`.
    #[error("cannot open /dev/net/tun ({0}): is the kernel module `tun` there (`modprobe tun`)?")]
    Missing(#[source] io::Error),
    /// Another process has it.
    #[error("{0} is in use by another process (a second tandem? see `ip -details link show {0}`)")]
    InUse(String),
    /// The name belongs to something that is no TUN device, or to one with other properties.
    #[error("an interface {0} exists already and is no TUN device that tandem can take over: choose another name for `tun`")]
    NotTun(String),
    /// The name is empty, longer than 15 bytes or holds a character that the kernel does not allow.
    #[error("{0:?} is not a name for an interface: 1 to 15 letters, digits, `-`, `_` or `.`")]
    BadName(String),
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted to make the TUN device {0}: CAP_NET_ADMIN is missing")]
    NotPermitted(String),
    /// Anything else.
    #[error("{step} of TUN device {name}: {source}")]
    Other {
        /// Its name.
        name: String,
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// An open TUN device. It vanishes with the last descriptor, so a crash leaves none.
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
    name: String,
    index: u32,
}

/// What one read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// An IP packet of this many bytes.
    Packet(usize),
    /// A run of TCP segments as one packet of `len` bytes, with `segment` bytes of payload for each.
    Segments {
        /// Length of the packet in bytes.
        len: usize,
        /// Payload of each segment in bytes.
        segment: usize,
    },
    /// Something that is not handed on: longer than the buffer, or with an offload header that does not fit it.
    Damaged,
    /// Nothing is waiting.
    Empty,
}

impl Tun {
    /// Makes the device `name`, or takes over one that nobody holds, and sets its MTU in bytes. It is up when this returns.
    pub fn open(name: &str, mtu: u16) -> Result<Self, TunError> {
        if name.is_empty() || name.len() > 15 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
            return Err(TunError::BadName(name.to_owned()));
        }
        let fd = rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| TunError::Missing(e.into()))?;
        let other = |step| move |source| TunError::Other { name: name.to_owned(), step, source };

        let mut request = request_for(name);
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        request.ifr_ifru.ifru_flags = flags as libc::c_short;
        // SAFETY: TUNSETIFF reads and writes a `struct ifreq`.
        if let Err(e) = unsafe { ioctl(fd.as_fd(), libc::TUNSETIFF, &raw mut request) } {
            return Err(match e.raw_os_error() {
                Some(libc::EBUSY) => TunError::InUse(name.to_owned()),
                Some(libc::EINVAL) => TunError::NotTun(name.to_owned()),
                Some(libc::EPERM) => TunError::NotPermitted(name.to_owned()),
                _ => other("creation")(e),
            });
        }
        let header = HEADER_LEN as c_int;
        // SAFETY: TUNSETVNETHDRSZ reads an int. TUNSETOFFLOAD and TUNSETPERSIST take a plain number.
        unsafe {
            ioctl(fd.as_fd(), libc::TUNSETVNETHDRSZ, &raw const header).map_err(other("setting the header's size"))?;
            // The mask survives on a device taken over, so it is set afresh; a kernel that refuses hands packets over one by one.
            if ioctl_number(fd.as_fd(), libc::TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6).is_err() {
                ioctl_number(fd.as_fd(), libc::TUNSETOFFLOAD, 0).map_err(other("turning off offloads"))?;
            }
            // A device taken over may be one that somebody made to stay.
            ioctl_number(fd.as_fd(), libc::TUNSETPERSIST, 0).map_err(other("making it vanish with tandem"))?;
        }
        let mut tun = Self { fd, name: name.to_owned(), index: 0 };
        tun.index = rustix::net::netdevice::name_to_index(&control_socket().map_err(other("opening a socket"))?, name)
            .map_err(|e| other("looking up the index")(e.into()))?;
        tun.set_mtu(mtu)?;
        tun.quiet();
        tun.set_up()?;
        Ok(tun)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its interface index.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Changes the MTU, in bytes.
    pub fn set_mtu(&self, mtu: u16) -> Result<(), TunError> {
        let mut request = request_for(&self.name);
        request.ifr_ifru.ifru_mtu = c_int::from(mtu);
        self.configure(libc::SIOCSIFMTU, request, "setting the MTU")
    }

    /// Reads one packet into `buffer`, which must be longer than any IP packet.
    ///
    /// An error means that the device is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Read> {
        let capacity = buffer.len();
        let mut header = [0; HEADER_LEN];
        let n = match rustix::io::readv(&self.fd, &mut [IoSliceMut::new(&mut header), IoSliceMut::new(buffer)]) {
            Ok(n) => n,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(Read::Empty),
            Err(e) => return Err(e.into()),
        };
        // The kernel cuts what does not fit and says nothing: a full buffer counts as cut.
        let Some(len) = n.checked_sub(HEADER_LEN).filter(|&len| len > 0 && len < capacity) else {
            return Ok(Read::Damaged);
        };
        Ok(match Offload::parse(&header) {
            Offload::None => Read::Packet(len),
            Offload::Checksum { start, offset } => {
                let whole = buffer.get_mut(..len).is_some_and(|packet| complete_checksum(packet, start, offset));
                if whole { Read::Packet(len) } else { Read::Damaged }
            }
            Offload::Tcp { segment } => Read::Segments { len, segment },
            Offload::Unknown => Read::Damaged,
        })
    }

    /// Hands one packet to the kernel: its offload header and the packet in parts. Returns false if the kernel did not take it.
    pub fn write(&self, header_and_parts: &[IoSlice<'_>]) -> bool {
        rustix::io::writev(&self.fd, header_and_parts).is_ok()
    }

    fn configure(&self, number: libc::Ioctl, mut request: ifreq, step: &'static str) -> Result<(), TunError> {
        let other = |source| TunError::Other { name: self.name.clone(), step, source };
        let socket = control_socket().map_err(other)?;
        // SAFETY: every caller passes one of the SIOCSIF* and SIOCGIF* numbers, which read and write a `struct ifreq`.
        unsafe { ioctl(socket.as_fd(), number, &raw mut request) }.map_err(other)
    }

    fn set_up(&self) -> Result<(), TunError> {
        let mut request = request_for(&self.name);
        request.ifr_ifru.ifru_metric = QUEUE_LENGTH;
        self.configure(libc::SIOCSIFTXQLEN, request, "setting the queue's length")?;
        let mut request = request_for(&self.name);
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        self.configure(libc::SIOCSIFFLAGS, request, "setting it up")
    }

    /// Keeps the kernel from using the device by itself, and from dropping what comes out of it. Best effort: a kernel without IPv6 has no such file.
    fn quiet(&self) {
        // 1: no link-local address, so no router solicitations and no MLD reports that nobody asked for.
        let _ = fs::write(sysctl("ipv6", &self.name, "addr_gen_mode"), "1");
        // The larger of `all` and the device's own value counts. Strict (1) would drop packets of a tunnel with selectors
        // 0.0.0.0/0 whose source has no route to the device; the selectors have been checked before the packet gets here.
        let value = |device| fs::read_to_string(sysctl("ipv4", device, "rp_filter")).ok().and_then(|s| s.trim().parse::<u8>().ok());
        if value("all").max(value(&self.name)) == Some(1) {
            let _ = fs::write(sysctl("ipv4", &self.name, "rp_filter"), "2");
        }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn sysctl(family: &str, device: &str, key: &str) -> PathBuf {
    ["/proc/sys/net", family, "conf", device, key].iter().collect()
}

fn control_socket() -> io::Result<socket2::Socket> {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM.cloexec(), None)
}

/// A request about `name`, which is at most 15 bytes long.
fn request_for(name: &str) -> ifreq {
    // SAFETY: `struct ifreq` is plain data; all zeros is a value of it.
    let mut request: ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request
}

/// # Safety
/// `number` must be one whose argument points to a `T`.
unsafe fn ioctl<T>(fd: BorrowedFd<'_>, number: libc::Ioctl, argument: *const T) -> io::Result<()> {
    // SAFETY: the descriptor is open, and by the caller's word the kernel reads or writes no more than one `T`.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), number, argument) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// # Safety
/// `number` must be one whose argument is a plain number.
unsafe fn ioctl_number(fd: BorrowedFd<'_>, number: libc::Ioctl, argument: c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open, and by the caller's word the kernel reads no memory of ours.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), number, libc::c_ulong::from(argument)) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_that_is_none_is_refused_before_the_kernel_sees_it() {
        for name in ["", "a/b", "sixteen-letters-", "tun 0", "tun%d"] {
            assert!(matches!(Tun::open(name, 1400), Err(TunError::BadName(_))), "{name:?}");
        }
    }
}
