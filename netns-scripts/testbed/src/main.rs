//! What the scenarios need on the wire and Debian has no tool for: streams counted one way, and packets an attacker would send.
#![allow(clippy::print_stdout, reason = "its output is its result")]

mod craft;
mod forge;
mod netns;
mod replay;
mod spray;
mod stream;

use clap::Parser;

#[derive(Parser)]
#[command(name = "testbed", version, about)]
enum Command {
    /// Sends numbered datagrams at a steady rate between two namespaces and says, as JSON, how each direction fared.
    Stream(stream::Args),
    /// Sends a captured ESP packet once more, unchanged.
    Replay(replay::Args),
    /// Sends a datagram with any source address, in clear.
    Spoof(forge::SpoofArgs),
    /// Seals a datagram with any addresses into an SA whose keys are known, and sends it.
    Forge(forge::ForgeArgs),
    /// Sends payloads from a file to the ports of IKE and as ESP, from any address.
    Spray(spray::Args),
}

fn main() -> anyhow::Result<()> {
    match Command::parse() {
        Command::Stream(args) => stream::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Spoof(args) => forge::spoof(&args),
        Command::Forge(args) => forge::forge(&args),
        Command::Spray(args) => spray::run(&args),
    }
}
