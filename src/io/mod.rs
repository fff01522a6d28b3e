//! Everything that touches the machine: the clock, the TUN device, sockets, threads, links, routes, the firewall table, capabilities.
//!
//! ```text
//!            TUN device                    raw ESP, UDP 4500                   UDP 500, netlink, ICMP, control socket
//!               |  tun.rs                     |  sockets.rs, mmsg.rs              |  sockets.rs, netlink.rs, icmp.rs, lock.rs
//!   tandem-out  +--> datapath::Outbound ----->|                                   |
//!   tandem-in   |<-- datapath::Inbound <------+--- IKE on 4500 ---> Notices <-----+   awaited by src/run.rs
//!               |  worker.rs                                        worker.rs
//! ```
//!
//! Rooms by need: [`clock`] is the only place that reads a clock. `unsafe` is in [`tun`] (ioctl) and `mmsg` (many datagrams per
//! system call) and nowhere else outside the cryptographic kernels. [`netlink`] and [`nft`] change the machine and find again
//! what an earlier run left; [`caps`] and [`lock`] belong to the start.

pub mod caps;
pub mod clock;
pub mod icmp;
pub mod lock;
pub mod machine;
mod mmsg;
pub mod netlink;
pub mod nft;
pub mod sockets;
pub mod tun;
pub mod worker;

#[cfg(test)]
mod namespace;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod tests;
