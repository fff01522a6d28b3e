//! What does it cost to find the rule for a flow among 1 to 1000, when the flow is new? (A known flow asks the cache: see `datapath`, `denied`.)

#![allow(clippy::unwrap_used, missing_docs)]

use divan::{Bencher, black_box};
use tandem::policy::{Action, Flow, Policy, Rule};
use tandem_ike::{ProxyIdentity, TrafficSelectors};

const RULES: [usize; 4] = [1, 10, 100, 1000];

fn main() {
    divan::main();
}

/// One rule for each /24; the flow matches the last.
fn policy(rules: usize) -> (Policy, Flow) {
    let side = |net: String| ProxyIdentity { net: net.parse().unwrap(), protocol: 0, port: 0 };
    let net = |i: usize| format!("10.{}.{}.0/24", i / 256, i % 256);
    let rule =
        |i| Rule { selectors: TrafficSelectors { local: side("192.168.0.0/24".into()), remote: side(net(i)) }, action: Action::Protect(i) };
    let last = rules - 1;
    let remote = format!("10.{}.{}.9", last / 256, last % 256).parse().unwrap();
    let flow = Flow { local: [192, 168, 0, 10].into(), remote, protocol: 6, local_port: 5000, remote_port: 443 };
    (Policy::new((0..rules).map(rule).collect()), flow)
}

#[divan::bench(args = RULES)]
fn last_rule(bencher: Bencher, rules: usize) {
    let (policy, flow) = policy(rules);
    assert_eq!(policy.decide(&flow), Action::Protect(rules - 1));
    bencher.bench(|| policy.decide(black_box(&flow)));
}

#[divan::bench(args = RULES)]
fn no_rule(bencher: Bencher, rules: usize) {
    let (policy, mut flow) = policy(rules);
    flow.remote = [172, 16, 1, 1].into();
    bencher.bench(|| policy.decide(black_box(&flow)));
}
