//! tandem: the on-premises end of an active/standby pair of IKEv1 tunnels, in userspace.
//!
//! ```text
//!  data path     TUN -> flow -> policy -> route -> SA -> seal -> network      src/datapath, on its own threads
//!                network -> SPI -> open -> selectors -> TUN
//!  control path  datagrams, probes, timers, commands, links -> IKE, tracks, routes -> tables, datagrams, probes
//!                src/gateway.rs (pure), driven by src/run.rs (the only place that waits)
//! ```

pub mod check;
pub mod cli;
pub mod config;
pub mod connection;
pub mod control;
pub mod datapath;
pub mod events;
pub mod gateway;
pub mod handoff;
pub mod health;
pub mod icmp;
pub mod io;
pub mod ip;
pub mod keylog;
pub mod log;
pub mod machine;
pub mod offload;
pub mod policy;
pub mod probe;
pub mod psk;
pub mod reload;
pub mod routing;
pub mod run;
pub mod sadb;
pub mod stats;
pub mod status;
pub mod tracker;
