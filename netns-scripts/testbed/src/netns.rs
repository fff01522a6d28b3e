//! Sockets in other network namespaces: a socket stays in the namespace its thread was in when it was made.

use std::fs::File;

use anyhow::Context;
use nix::sched::{CloneFlags, setns};

/// Runs `make` on a thread of its own inside the named namespace.
pub(crate) fn inside<T: Send>(namespace: &str, make: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let file = File::open(format!("/run/netns/{namespace}")).with_context(|| format!("network namespace {namespace}"))?;
    std::thread::scope(|scope| {
        scope
            .spawn(move || {
                setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {namespace}"))?;
                make()
            })
            .join()
            .map_err(|_| anyhow::anyhow!("the thread in {namespace} panicked"))?
    })
}
