//! Every combination of algorithms, PFS and role comes up with equal keys.

use crate::harness::*;
use tandem_ike::*;

#[test]
fn every_phase_1_proposal_comes_up_in_either_role() {
    for encryption in ["aes128", "aes192", "aes256", "3des", "des"] {
        for hash in ["md5", "sha1", "sha256", "sha384", "sha512"] {
            let config = ConnectionConfig { ike_proposals: vec![format!("{encryption}-{hash}-group2").parse().unwrap()], ..config_a() };
            let pair = Pair::up(config.clone(), mirror(&config));
            assert_eq!(pair.sides[A].ike.as_ref().unwrap().proposal, config.ike_proposals[0]);
            assert_eq!(pair.sides[A].ike.as_ref().unwrap().role, Role::Initiator);
            assert_eq!(pair.sides[B].ike.as_ref().unwrap().role, Role::Responder);
        }
    }
}

#[test]
fn every_group_works_in_phase_1_and_as_pfs() {
    for group in ["group1", "group2", "group5", "group14", "group15", "group16"] {
        let proposal: IkeProposal = format!("aes128-sha256-{group}").parse().unwrap();
        let config = ConnectionConfig { ike_proposals: vec![proposal], pfs: Some(proposal.group), ..config_a() };
        let pair = Pair::up(config.clone(), mirror(&config));
        assert_eq!(pair.sides[B].outbound(0).unwrap().pfs, Some(proposal.group));
    }
}

#[test]
fn every_esp_transform_comes_up_with_and_without_pfs() {
    let transforms = [
        "aes128-sha1",
        "aes192-sha1",
        "aes256-sha1",
        "3des-md5",
        "des-md5",
        "aes128-md5",
        "aes128-sha256",
        "aes128-sha384",
        "aes256-sha512",
        "aes128gcm16",
        "aes256gcm16",
    ];
    for transform in transforms {
        for pfs in [None, Some(Group::Modp1024)] {
            let config = ConnectionConfig { esp_proposals: vec![transform.parse().unwrap()], pfs, ..config_a() };
            let mut pair = Pair::up(config.clone(), mirror(&config));
            let sa = pair.sides[A].outbound(0).unwrap();
            assert_eq!((sa.transform, sa.pfs), (config.esp_proposals[0], pfs));
            assert_eq!(sa.keymat_in.len(), sa.keymat_out.len());
            assert_ne!(sa.keymat_in, sa.keymat_out);
            assert!(pair.flows());
        }
    }
}

#[test]
fn pfs_group_may_differ_from_the_group_of_phase_1() {
    let config = ConnectionConfig { pfs: Some(Group::Modp1536), ..config_a() };
    let pair = Pair::up(config.clone(), mirror(&config));
    assert_eq!(pair.sides[B].outbound(0).unwrap().pfs, Some(Group::Modp1536));
}

#[test]
fn responder_chooses_by_its_own_order() {
    let parse = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<IkeProposal>>();
    let a = ConnectionConfig { ike_proposals: parse(&["aes128-sha1-group2", "aes256-sha256-group5", "3des-md5-group2"]), ..config_a() };
    let b = ConnectionConfig { ike_proposals: parse(&["aes192-sha1-group2", "aes256-sha256-group5", "aes128-sha1-group2"]), ..mirror(&a) };
    let pair = Pair::up(a, b);
    assert_eq!(pair.sides[A].ike.as_ref().unwrap().proposal, "aes256-sha256-group5".parse().unwrap());
}

#[test]
fn handshake_takes_nine_messages_and_inbound_stands_before_the_peer_can_send() {
    let pair = Pair::default_up();
    assert_eq!(pair.log.len(), 9);
    let at = |side: usize, what: &str| pair.sides[side].events.iter().find(|(_, event)| event.contains(what)).unwrap().0;
    // The responder has installed the pair when message 2 leaves, one latency before the initiator has it, and sends only after message 3.
    assert!(at(B, "ChildInstalled") < at(A, "ChildInstalled"));
    assert!(at(B, "ChildReady") > at(A, "ChildReady"));
}

#[test]
fn several_children_come_up_at_once_under_one_isakmp_sa() {
    let children = (0..5).map(|n| TrafficSelectors { local: proxy("192.168.0.0/24"), remote: proxy(&format!("172.{n}.0.0/16")) }).collect();
    let config = ConnectionConfig { children, ..config_a() };
    let mut pair = Pair::up(config.clone(), mirror(&config));
    assert_eq!(pair.sides[A].pairs.len(), 5);
    assert_eq!(pair.sides[A].established, 1);
    assert!(pair.flows());
    assert_eq!(pair.log.len(), 6 + 15);
}

#[test]
fn whole_internet_and_single_hosts_are_proxy_identities_too() {
    let children = vec![
        TrafficSelectors { local: proxy("0.0.0.0/0"), remote: proxy("0.0.0.0/0") },
        TrafficSelectors { local: proxy("192.168.0.2/32"), remote: proxy("172.16.20.1/32") },
        TrafficSelectors {
            local: ProxyIdentity { protocol: 6, port: 443, ..proxy("192.168.0.0/24") },
            remote: ProxyIdentity { protocol: 6, port: 0, ..proxy("172.16.0.0/16") },
        },
    ];
    let config = ConnectionConfig { children, ..config_a() };
    let pair = Pair::up(config.clone(), mirror(&config));
    assert_eq!(pair.sides[B].pairs.len(), 3);
}

#[test]
fn peers_may_name_themselves_by_fqdn() {
    let config = ConnectionConfig {
        local_id: Identity::Fqdn("branch.example.net".into()),
        remote_id: Identity::Fqdn("cloud.example.net".into()),
        ..config_a()
    };
    Pair::up(config.clone(), mirror(&config));
}

#[test]
fn same_seed_gives_the_same_datagrams() {
    let payloads = || Pair::default_up().log.into_iter().map(|datagram| datagram.payload).collect::<Vec<_>>();
    assert_eq!(payloads(), payloads());
}

#[test]
fn cookies_are_never_zero_and_version_is_1_0() {
    let pair = Pair::default_up();
    for datagram in &pair.log {
        let message = datagram.message();
        assert_ne!(message[..8], [0; 8]);
        assert_eq!(message[17], 0x10);
        assert_eq!(datagram.number == 1, message[8..16] == [0; 8]);
    }
}
