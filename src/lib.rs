//! tandem: the on-premises end of an active/standby pair of IKEv1 tunnels, in userspace.
//!
//! ```text
//!  data path     TUN -> flow -> policy -> route -> SA -> seal -> network      src/datapath.rs, on its own threads
//!                network -> SPI -> open -> selectors -> TUN
//!  control path  datagrams, probes, timers, commands, links -> IKE, tracks, routes -> tables, datagrams, probes
//!                src/gateway.rs (pure), driven by src/run.rs (the only place that waits)
//! ```

pub mod check;
pub mod config;
pub mod datapath;
pub mod handoff;
pub mod icmp;
pub mod io;
pub mod ip;
pub mod policy;
pub mod psk;
pub mod sadb;
pub mod stats;
