//! A configuration file.

use std::path::Path;
use std::time::Instant;

use tandem::check;
use tandem::config::{Config, Via};
use tandem_ike::{ConnectionId, Endpoint};

/// Reads it. Every fault has a place inside the text and says what was expected; what is accepted can be explained and run.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let origin = Path::new("/nonexistent/tandem.toml");
    match Config::parse(&text, origin) {
        Err(errors) => {
            assert!(errors.iter().next().is_some(), "refused for a reason");
            assert!(!errors.to_string().is_empty());
            for error in errors.iter() {
                assert!(!error.message().is_empty() && !error.expected().is_empty());
                if let Some((line, column)) = error.position() {
                    assert!(line >= 1 && line <= text.lines().count() + 1, "line {line}");
                    assert!(column >= 1);
                }
            }
        }
        Ok(config) => accepted(origin, &config),
    }
}

fn accepted(origin: &Path, config: &Config) {
    assert!(check::summary(origin, config).contains(": OK"));
    let count = config.connections.len();
    assert!(count >= 1);
    assert!(config.tracks.iter().all(|track| match track.via {
        Via::Outside(index) | Via::Tunnel(index) => index < count,
    }));
    assert!(config.routes.iter().all(|route| route.connection < count));
    let now = Instant::now();
    let mut endpoint = Endpoint::new([1; 32]);
    for (id, connection) in (0..).map(ConnectionId).zip(&config.connections) {
        let ike = &connection.ike;
        assert!(!ike.ike_proposals.is_empty() && !ike.esp_proposals.is_empty() && !ike.children.is_empty());
        assert!(!ike.psk.as_bytes().is_empty());
        assert_eq!(ike.children, connection.policy.children());
        assert!((64..=4096).contains(&connection.replay_window));
        endpoint.configure(now, id, ike.clone());
        endpoint.connect(now, id);
    }
    assert!(std::iter::from_fn(|| endpoint.poll_transmit()).all(|transmit| transmit.payload.len() >= 28));
}

/// The examples, and one of each rarer key.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let onprem = include_str!("../../../examples/onprem.toml");
    let cloud = include_str!("../../../examples/cloud.toml");
    let rare = r#"
[gateway]
tun = "ipsec7"
mtu = 1380
fail_closed = false

[[connection]]
name = "conn1"
local = "198.51.100.20"
remote = "203.0.113.21"
psk = "\u0001 key"
psk_next = "another"
local_id = "@branch.example"
remote_id = "203.0.113.21"
start = "on-traffic"
selectors = "any"
nat_traversal = "force"
ike = { proposals = ["aes256-sha384-group14", "3des-md5-group2"], lifetime = 3600 }
esp = { proposals = ["aes256gcm16", "aes192-sha256"], pfs = "disabled", lifetime = "1h 30m", replay_window = 64 }

[[connection]]
name = "six"
local = "198.51.100.20"
remote = "203.0.113.22"
psk = "k"
selectors = { local = "2001:db8:1::1", remote = "2001:db8:2::/48" }
dpd = { delay = 2 }

[[track]]
id = 4000000000
icmp_echo = { destination = "2001:db8:2::5", via = "tunnel:six" }
frequency = "200ms"
fail_after = 2
recover_after = 3
delay_up = 10
delay_down = "1s"

[[route]]
destination = "2001:db8:2::/48"
connection = "six"
weight = 3
track = 4000000000
"#;
    [onprem, cloud, rare].into_iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_seed_is_a_configuration() {
        for seed in seeds() {
            let text = String::from_utf8_lossy(&seed);
            if let Err(errors) = Config::parse(&text, Path::new("tandem.toml")) {
                assert!(errors.to_string().contains("weight"), "{errors}");
            }
        }
    }
}
