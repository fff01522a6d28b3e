//! Capabilities: says exactly which is missing, and keeps no other after start.

use std::fs;

use caps::{CapSet, Capability, CapsHashSet};
use thiserror::Error;

use super::sockets::IKE_PORT;

/// What is missing, or why the rest could not be given up.
#[derive(Debug, Error)]
pub enum CapsError {
    /// Not enough to run.
    #[error("not permitted to run: {} (run as root, or give these capabilities, for example by systemd's AmbientCapabilities)", .0.join("; "))]
    Missing(Vec<String>),
    /// A thread was started before, which would keep everything.
    #[error("capabilities can only be given up before a second thread is started")]
    Threads,
    /// The kernel refused.
    #[error("cannot {what}: {reason}")]
    Refused {
        /// What was being done.
        what: &'static str,
        /// Its reason.
        reason: String,
    },
}

/// What tandem needs while it runs, with what for.
const NEEDED: [(Capability, &str); 2] = [
    (Capability::CAP_NET_ADMIN, "CAP_NET_ADMIN is missing (TUN device, routes, nftables)"),
    (Capability::CAP_NET_RAW, "CAP_NET_RAW is missing (ESP, probes, binding to interfaces)"),
];

/// Checks for everything that `run` needs; the error names all that is missing.
pub fn check() -> Result<(), CapsError> {
    let effective = read(CapSet::Effective)?;
    let mut missing: Vec<String> = NEEDED.iter().filter(|(c, _)| !effective.contains(c)).map(|(_, text)| (*text).to_owned()).collect();
    if !effective.contains(&Capability::CAP_NET_BIND_SERVICE) && first_free_port() > IKE_PORT {
        missing.push(format!(
            "CAP_NET_BIND_SERVICE is missing (UDP port {IKE_PORT}; or set net.ipv4.ip_unprivileged_port_start to {IKE_PORT} or less)"
        ));
    }
    if missing.is_empty() { Ok(()) } else { Err(CapsError::Missing(missing)) }
}

/// Gives up every capability but those that a running tandem needs (a reload may open port 500 of another address), for this process and whatever it
/// would execute. To be called while the process has one thread: capabilities belong to threads, and new ones inherit them.
pub fn keep_only_needed() -> Result<(), CapsError> {
    if fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
        return Err(CapsError::Threads);
    }
    let wanted: CapsHashSet = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW, Capability::CAP_NET_BIND_SERVICE].into();
    // The bounding set first: shrinking it needs CAP_SETPCAP, which is about to go. Without it (systemd has set the bounds then, or an ambient
    // capability was given) `no_new_privs` alone keeps an executed file from gaining anything.
    if read(CapSet::Effective)?.contains(&Capability::CAP_SETPCAP) {
        for capability in read(CapSet::Bounding)?.difference(&wanted) {
            caps::drop(None, CapSet::Bounding, *capability).map_err(refused("shrink the bounding set"))?;
        }
    }
    // A kernel before 4.3 has no ambient set; nothing can be in it then.
    if caps::runtime::ambient_set_supported().is_ok() {
        caps::clear(None, CapSet::Ambient).map_err(refused("clear the ambient set"))?;
    }
    let kept = &read(CapSet::Permitted)? & &wanted;
    caps::set(None, CapSet::Effective, &kept).map_err(refused("shrink the effective set"))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(refused("shrink the permitted set"))?;
    caps::clear(None, CapSet::Inheritable).map_err(refused("clear the inheritable set"))?;
    rustix::thread::set_no_new_privs(true).map_err(|e| CapsError::Refused { what: "set no_new_privs", reason: e.to_string() })
}

fn read(set: CapSet) -> Result<CapsHashSet, CapsError> {
    caps::read(None, set).map_err(refused("read the capabilities"))
}

fn refused(what: &'static str) -> impl Fn(caps::errors::CapsError) -> CapsError {
    move |e| CapsError::Refused { what, reason: e.to_string() }
}

/// The first port that needs no capability.
fn first_free_port() -> u16 {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok().and_then(|t| t.trim().parse().ok()).unwrap_or(1024)
}
