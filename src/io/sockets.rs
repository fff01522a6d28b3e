//! The sockets towards the peers: for each local address UDP 500, UDP 4500 and raw IP protocol 50 (ESP).
//!
//! All are bound to the local address and, where the configuration names one, to the interface, so a packet never leaves by another
//! uplink. They are shared: the packet threads read and write 4500 and ESP, the control path reads 500 and writes IKE on both ports.
//! Connections with the same local address share one set, since the kernel hands every matching raw socket its own copy of a packet.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Socket, Type};
use tandem_ike::Transmit;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::machine::LocalEnd;
use crate::sadb::{Notice, OuterPath};

/// Port of IKE (RFC 2408 section 2.5.1).
pub const IKE_PORT: u16 = 500;
/// Port of IKE and ESP behind a NAT (RFC 3947 section 4, RFC 3948).
pub const NAT_PORT: u16 = 4500;
/// Kernel buffer of each socket of the packet path, in bytes: 10 ms at 3 Gbit/s.
const BUFFER: usize = 4 << 20;

/// Why the sockets could not be opened. Each says which.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Another process has the port.
    #[error("port {port} of {local} is in use (another IKE daemon? see `ss -lunp`)")]
    PortInUse {
        /// The address.
        local: IpAddr,
        /// The port.
        port: u16,
    },
    /// The interface does not exist.
    #[error("there is no interface {interface} (wanted for {local}; see `ip link`)")]
    NoInterface {
        /// Its name.
        interface: String,
        /// The local address that it was named for.
        local: IpAddr,
    },
    /// A capability is missing.
    #[error("not permitted to open {what} of {local}: {needs} is missing")]
    NotPermitted {
        /// Which socket.
        what: &'static str,
        /// The address.
        local: IpAddr,
        /// The capability.
        needs: &'static str,
    },
    /// One address, two interfaces: the packet path could not tell them apart.
    #[error("{local} is the local address of connections with different interfaces ({first} and {second})")]
    TwoInterfaces {
        /// The address.
        local: IpAddr,
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// Anything else.
    #[error("cannot open {what} of {local}: {source}")]
    Other {
        /// Which socket.
        what: &'static str,
        /// The address.
        local: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The three sockets of one local address.
#[derive(Debug)]
pub(super) struct EndSockets {
    end: LocalEnd,
    interface_index: Option<u32>,
    /// UDP 500.
    ike: Socket,
    /// UDP 4500.
    nat: Socket,
    /// IP protocol 50.
    esp: Socket,
}

/// All sockets towards the peers.
#[derive(Debug, Default)]
pub struct Sockets {
    ends: Vec<Arc<EndSockets>>,
}

/// What kind of socket, for the packet threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Esp,
    Nat,
}

impl Sockets {
    /// Opens the sockets for these ends; equal ends share. Those of `previous` that are still right are kept, so that nothing is lost
    /// while a configuration is reloaded; one whose interface has vanished and come back (with a new index) is opened anew.
    pub fn open(ends: &[LocalEnd], previous: Option<&Self>) -> Result<Self, SocketError> {
        let mut opened: Vec<Arc<EndSockets>> = Vec::new();
        for end in ends {
            if let Some(same) = opened.iter().find(|o| o.end.address == end.address) {
                if same.end == *end {
                    continue;
                }
                let name = |e: &LocalEnd| e.interface.clone().unwrap_or_else(|| "none".to_owned());
                return Err(SocketError::TwoInterfaces { local: end.address, first: name(&same.end), second: name(end) });
            }
            let index = interface_index(end)?;
            let kept = previous.and_then(|p| p.ends.iter().find(|o| o.end == *end && o.interface_index == index));
            opened.push(match kept {
                Some(kept) => kept.clone(),
                None => Arc::new(EndSockets::open(end, index)?),
            });
        }
        Ok(Self { ends: opened })
    }

    /// Sends an IKE datagram (or a keepalive) from its local address and port. Never waits.
    pub fn send_ike(&self, transmit: &Transmit) -> io::Result<()> {
        let socket = self.ends.iter().find(|e| e.end.address == transmit.local.ip()).and_then(|e| match transmit.local.port() {
            IKE_PORT => Some(&e.ike),
            NAT_PORT => Some(&e.nat),
            _ => None,
        });
        let Some(socket) = socket else {
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, format!("no socket at {}", transmit.local)));
        };
        socket.send_to(&transmit.payload, &transmit.remote.into()).map(drop)
    }

    /// Starts to read port 500 of every address into `sink`, as [`Notice::Ike`] without a marker. Reading ends when the result is dropped.
    /// Must be called inside a tokio runtime. A full queue makes the kernel's buffer fill, and then the kernel drops.
    pub fn read_ike(&self, sink: &mpsc::Sender<Notice>) -> io::Result<IkeReaders> {
        let mut tasks = JoinSet::new();
        for end in &self.ends {
            let socket = tokio::net::UdpSocket::from_std(end.ike.try_clone()?.into())?;
            let local = SocketAddr::new(end.end.address, IKE_PORT);
            tasks.spawn(read_datagrams(socket, local, sink.clone()));
        }
        Ok(IkeReaders { _tasks: tasks })
    }

    /// The socket that packets of this path leave from.
    pub(super) fn of(&self, path: &OuterPath) -> Option<BorrowedFd<'_>> {
        let (address, kind) = match path {
            OuterPath::Esp { local, .. } => (*local, Kind::Esp),
            OuterPath::Udp { local, .. } => (local.ip(), Kind::Nat),
        };
        self.ends.iter().find(|e| e.end.address == address).map(|e| e.packet_socket(kind))
    }

    /// Every socket that the packet path reads, with the address it belongs to.
    pub(super) fn readable(&self) -> impl Iterator<Item = (Kind, IpAddr, BorrowedFd<'_>)> {
        self.ends.iter().flat_map(|e| [Kind::Esp, Kind::Nat].map(|kind| (kind, e.end.address, e.packet_socket(kind))))
    }
}

/// Reads port 500 while it lives.
#[derive(Debug)]
pub struct IkeReaders {
    _tasks: JoinSet<()>,
}

impl EndSockets {
    fn packet_socket(&self, kind: Kind) -> BorrowedFd<'_> {
        match kind {
            Kind::Esp => self.esp.as_fd(),
            Kind::Nat => self.nat.as_fd(),
        }
    }

    fn open(end: &LocalEnd, interface_index: Option<u32>) -> Result<Self, SocketError> {
        let ike = bound(end, "UDP port 500", Type::DGRAM, Protocol::UDP, IKE_PORT)?;
        let nat = bound(end, "UDP port 4500", Type::DGRAM, Protocol::UDP, NAT_PORT)?;
        super::mmsg::receive_runs(&nat);
        let esp = bound(end, "raw ESP", Type::RAW, Protocol::from(libc::IPPROTO_ESP), 0)?;
        for (socket, what) in [(&nat, "UDP port 4500"), (&esp, "raw ESP")] {
            for_packets(end, socket).map_err(|source| SocketError::Other { what, local: end.address, source })?;
        }
        Ok(Self { end: end.clone(), interface_index, ike, nat, esp })
    }
}

/// The path's MTU towards `remote` in bytes, as the kernel knows it now: the interface's, or less where a router has said so.
pub fn path_mtu(end: &LocalEnd, remote: IpAddr) -> io::Result<u32> {
    let socket = Socket::new(domain(end.address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    if let Some(name) = &end.interface {
        socket.bind_device(Some(name.as_bytes()))?;
    }
    socket.bind(&SocketAddr::new(end.address, 0).into())?;
    socket.connect(&SocketAddr::new(remote, IKE_PORT).into())?;
    Ok(match remote {
        IpAddr::V4(_) => sockopt::ip_mtu(&socket)?,
        IpAddr::V6(_) => sockopt::ipv6_mtu(&socket)?,
    })
}

fn domain(address: IpAddr) -> Domain {
    if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}

fn interface_index(end: &LocalEnd) -> Result<Option<u32>, SocketError> {
    let Some(name) = &end.interface else { return Ok(None) };
    let other = |source| SocketError::Other { what: "a socket", local: end.address, source };
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.cloexec(), None).map_err(other)?;
    match rustix::net::netdevice::name_to_index(&socket, name) {
        Ok(index) => Ok(Some(index)),
        Err(Errno::NODEV | Errno::INVAL) => Err(SocketError::NoInterface { interface: name.clone(), local: end.address }),
        Err(e) => Err(other(e.into())),
    }
}

/// A non-blocking socket bound to the end's interface and address.
fn bound(end: &LocalEnd, what: &'static str, kind: Type, protocol: Protocol, port: u16) -> Result<Socket, SocketError> {
    let local = end.address;
    let error = |needs| {
        move |source: io::Error| match Errno::from_io_error(&source) {
            Some(Errno::ADDRINUSE) => SocketError::PortInUse { local, port },
            Some(Errno::PERM | Errno::ACCESS) => SocketError::NotPermitted { what, local, needs },
            _ => SocketError::Other { what, local, source },
        }
    };
    let socket = Socket::new(domain(local), kind.nonblocking().cloexec(), Some(protocol)).map_err(error("CAP_NET_RAW"))?;
    if let Some(name) = &end.interface {
        socket.bind_device(Some(name.as_bytes())).map_err(|source| match Errno::from_io_error(&source) {
            Some(Errno::NODEV) => SocketError::NoInterface { interface: name.clone(), local },
            _ => error("CAP_NET_RAW")(source),
        })?;
    }
    // An address that is absent at start (DHCP, a failover address) may come later; until then sending from it fails.
    let freebind = if local.is_ipv4() { socket.set_freebind_v4(true) } else { socket.set_freebind_v6(true) };
    freebind.and_then(|()| socket.bind(&SocketAddr::new(local, port).into())).map_err(error("CAP_NET_BIND_SERVICE"))?;
    Ok(socket)
}

/// What the packet path needs of its sockets: no fragmentation outside, the outer ECN field, room for bursts.
fn for_packets(end: &LocalEnd, socket: &Socket) -> io::Result<()> {
    if end.address.is_ipv4() {
        sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::DO)?;
        socket.set_recv_tos_v4(true)?;
    } else {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::DO)?;
        socket.set_recv_tclass_v6(true)?;
    }
    // CAP_NET_ADMIN may go beyond net.core.rmem_max; in a user namespace without it the kernel's limit stands.
    sockopt::set_socket_recv_buffer_size_force(socket, BUFFER).or_else(|_| sockopt::set_socket_recv_buffer_size(socket, BUFFER))?;
    sockopt::set_socket_send_buffer_size_force(socket, BUFFER).or_else(|_| sockopt::set_socket_send_buffer_size(socket, BUFFER))?;
    Ok(())
}

async fn read_datagrams(socket: tokio::net::UdpSocket, local: SocketAddr, sink: mpsc::Sender<Notice>) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut failures = 0;
    while let Ok(place) = sink.reserve().await {
        match socket.recv_from(&mut buffer).await {
            Ok((len, remote)) => {
                failures = 0;
                let datagram = buffer.get(..len).unwrap_or_default().to_vec();
                place.send(Notice::Ike { local, remote, datagram });
            }
            // A pending error (link down, ...) is told once and then forgotten by the kernel; the socket goes on.
            Err(error) if failures < 16 => {
                failures += 1;
                tracing::debug!(%local, %error, "reading IKE");
            }
            Err(error) => {
                tracing::error!(%local, %error, "port 500 cannot be read any more");
                return;
            }
        }
    }
}
