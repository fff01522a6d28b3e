//! Wrong configurations and exactly what is said of each.
#![allow(missing_docs, clippy::unwrap_used)]

use std::path::Path;

use tandem::config::Config;

/// A right configuration, which every case breaks in one way.
const RIGHT: &str = r#"[gateway]
http = "127.0.0.1:9470"

[[acl]]
name = "100"
rules = [
  "permit ip 192.168.0.0/24 172.16.0.0/16",
]

[[connection]]
name = "conn1"
local = "198.51.100.20"
interface = "ge1"
remote = "203.0.113.21"
psk = "correct horse"
acl = "100"
ike = { proposals = ["aes128-sha1-group2"] }
esp = { proposals = ["aes128-sha1"] }

[[connection]]
name = "conn2"
local = "192.0.2.40"
interface = "ge2"
remote = "203.0.113.21"
psk = "battery staple"
selectors = { local = "192.168.0.0/24", remote = "172.16.0.0/16" }

[[track]]
id = 1
icmp_echo = { destination = "203.0.113.21", via = "conn1" }
frequency = "5s"

[[route]]
destination = "172.16.0.0/16"
connection = "conn1"
preference = 40
track = 1

[[route]]
destination = "172.16.0.0/16"
connection = "conn2"
"#;

/// What is wrong; the changes that make it so, as text and what replaces its first occurrence; the whole of what is said.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

#[test]
fn the_right_configuration_is_right() {
    assert_eq!(Config::parse(RIGHT, Path::new("tandem.toml")).unwrap().warnings, [""; 0]);
}

#[test]
fn every_wrong_configuration_is_told_what_is_wrong_with_it() {
    for (what, changes, expected) in CASES {
        let mut text = RIGHT.to_owned();
        for (from, to) in *changes {
            assert!(text.contains(from), "{what}: {from}");
            text = text.replacen(from, to, 1);
        }
        let said = match Config::parse(&text, Path::new("tandem.toml")) {
            Ok(_) => "nothing".to_owned(),
            Err(errors) => format!("\n{errors}"),
        };
        assert_eq!(said, *expected, "{what}:{said}");
    }
}

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("a line that is not TOML", &[(r#"interface = "ge1""#, r#"interface "ge1""#)], r#"
tandem.toml:13:11: not TOML: key with no value
   |
13 | interface "ge1"
   |           ^ expected `=`"#),
    ("a string without its end", &[(r#"local = "198.51.100.20""#, r#"local = "198.51.100.20"#)], r#"
tandem.toml:12:23: not TOML: invalid basic string
   |
12 | local = "198.51.100.20
   |                       ^ expected `"`"#),
    ("a key given twice", &[(r#"interface = "ge1""#, "interface = \"ge1\"\nname = \"again\"")], r#"
tandem.toml:14:1: not TOML: a key for the second time
   |
14 | name = "again"
   | ^^^^ expected every key once in its table"#),
    ("a misspelt key", &[(r#"preference = 40"#, r#"prefrence = 40"#)], r#"
tandem.toml:36:1: unknown key "prefrence" in [[route]]
   |
36 | prefrence = ***
   | ^^^^^^^^^ did you mean `preference`?"#),
    ("a key like no other", &[("acl = \"100\"\nike", "colour = \"red\"\nacl = \"100\"\nike")], r#"
tandem.toml:16:1: unknown key "colour" in [[connection]]
   |
16 | colour = ***
   | ^^^^^^ expected one of `name`, `local`, `interface`, `remote`, `next_hop`, `psk`, `psk_file`, `psk_next`, `psk_next_file`, `local_id`, `remote_id`, `start`, `acl`, `selectors`, `ike`, `esp`, `dpd`, `nat_traversal` and `health_check`"#),
    ("a misspelt table", &[(r#"[gateway]"#, r#"[gatway]"#)], r#"
tandem.toml:1:2: unknown key "gatway" at the top of the file
  |
1 | [gatway]
  |  ^^^^^^ did you mean `gateway`?"#),
    ("a misspelt key in an inline table", &[(r#"via = "conn1""#, r#"vai = "conn1""#)], r#"
tandem.toml:30:13: `icmp_echo` has no `via`
   |
30 | icmp_echo = { destination = "203.0.113.21", vai = ***
   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected via = "CONNECTION" or via = "tunnel:CONNECTION"

tandem.toml:30:45: unknown key "vai" in `icmp_echo`
   |
30 | icmp_echo = { destination = "203.0.113.21", vai = ***
   |                                             ^^^ did you mean `via`?"#),
    ("one bracket where two belong", &[(r#"[[track]]"#, r#"[track]"#)], r#"
tandem.toml:28:1: `track` is a table
   |
28 | [track]
   | ^^^^^^^ expected [[track]], with two brackets"#),
    ("a number where a string belongs", &[(r#"name = "conn1""#, r#"name = 1"#)], r#"
tandem.toml:11:8: `name` is an integer
   |
11 | name = 1
   |        ^ expected a name in quotes: write "1""#),
    ("an access list's number without quotes", &[("acl = \"100\"\nike", "acl = 100\nike")], r#"
tandem.toml:16:7: `acl` is an integer
   |
16 | acl = 100
   |       ^^^ expected a name in quotes: write "100""#),
    ("a string where a number belongs", &[(r#"preference = 40"#, r#"preference = "40""#)], r#"
tandem.toml:36:14: `preference` is a string
   |
36 | preference = "40"
   |              ^^^^ expected a whole number from 0 to 65535"#),
    ("a string where a list belongs", &[(r#"proposals = ["aes128-sha1-group2"]"#, r#"proposals = "aes128-sha1-group2""#)], r#"
tandem.toml:17:21: `proposals` is a string
   |
17 | ike = { proposals = "aes128-sha1-group2" }
   |                     ^^^^^^^^^^^^^^^^^^^^ expected a list such as ["aes128-sha1-group2"]"#),
    ("an empty list", &[(r#"proposals = ["aes128-sha1-group2"]"#, r#"proposals = []"#)], r#"
tandem.toml:17:21: `proposals` is empty
   |
17 | ike = { proposals = [] }
   |                     ^^ expected a list such as ["aes128-sha1-group2"]"#),
    ("a duration without a unit", &[(r#"frequency = "5s""#, r#"frequency = "5""#)], r#"
tandem.toml:31:13: `frequency` = "5" is no duration
   |
31 | frequency = "5"
   |             ^^^ expected a duration such as "5s", "500ms" or "24h", or a whole number of seconds"#),
    ("a duration in words", &[(r#"frequency = "5s""#, r#"frequency = "often""#)], r#"
tandem.toml:31:13: `frequency` = "often" is no duration
   |
31 | frequency = "often"
   |             ^^^^^^^ expected a duration such as "5s", "500ms" or "24h", or a whole number of seconds"#),
    ("a fraction of a second as a number", &[(r#"frequency = "5s""#, r#"frequency = 0.5"#)], r#"
tandem.toml:31:13: `frequency` is a number with a fraction
   |
31 | frequency = 0.5
   |             ^^^ expected a duration such as "5s", "500ms" or "24h", or a whole number of seconds"#),
    ("a frequency of zero", &[(r#"frequency = "5s""#, r#"frequency = 0"#)], r#"
tandem.toml:31:13: `frequency` = 0s would probe once and never again
   |
31 | frequency = 0
   |             ^ expected the time between probes, such as "5s" (0 means one shot on some devices)"#),
    ("a lifetime that is too short", &[(r#"esp = { proposals = ["aes128-sha1"] }"#, r#"esp = { lifetime = "1s" }"#)], r#"
tandem.toml:18:20: `lifetime` = 1s is too short
   |
18 | esp = { lifetime = "1s" }
   |                    ^^^^ expected 10s to 10years"#),
    ("a bad address", &[(r#"local = "198.51.100.20""#, r#"local = "198.51.100.256""#)], r#"
tandem.toml:12:9: `local` = "198.51.100.256" is no address
   |
12 | local = "198.51.100.256"
   |         ^^^^^^^^^^^^^^^^ expected an address such as 192.168.0.1"#),
    ("an outer address with a prefix", &[(r#"local = "198.51.100.20""#, r#"local = "198.51.100.20/24""#)], r#"
tandem.toml:12:9: `local` = "198.51.100.20/24" is no address
   |
12 | local = "198.51.100.20/24"
   |         ^^^^^^^^^^^^^^^^^^ expected one address, without a prefix"#),
    ("an outer address of IPv6", &[(r#"local = "198.51.100.20""#, r#"local = "2001:db8::20""#)], r#"
tandem.toml:12:9: `local` = 2001:db8::20 is an IPv6 address
   |
12 | local = "2001:db8::20"
   |         ^^^^^^^^^^^^^^ tandem's outer addresses are IPv4; expected one such as 203.0.113.21"#),
    ("a multicast address as the peer", &[("remote = \"203.0.113.21\"\npsk = \"correct", "remote = \"224.0.0.1\"\npsk = \"correct")], r#"
tandem.toml:14:10: `remote` = 224.0.0.1 is not the address of one machine
   |
14 | remote = "224.0.0.1"
   |          ^^^^^^^^^^^ expected one such as 203.0.113.21"#),
    ("the peer's address as our own", &[(r#"local = "198.51.100.20""#, r#"local = "203.0.113.21""#)], r#"
tandem.toml:14:10: `local` and `remote` are both 203.0.113.21
   |
14 | remote = "203.0.113.21"
   |          ^^^^^^^^^^^^^^ expected the peer's address"#),
    ("a bad network", &[(r#"remote = "172.16.0.0/16" }"#, r#"remote = "172.16.0.0/33" }"#)], r#"
tandem.toml:26:50: "172.16.0.0/33" is no network
   |
26 | selectors = { local = "192.168.0.0/24", remote = "172.16.0.0/33" }
   |                                                  ^^^^^^^^^^^^^^^ expected `any`, an address, or a network such as 172.16.0.0/16"#),
    ("a network with host bits", &[(r#"remote = "172.16.0.0/16" }"#, r#"remote = "172.16.1.0/16" }"#)], r#"
tandem.toml:26:50: 172.16.1.0/16 has bits beyond its prefix
   |
26 | selectors = { local = "192.168.0.0/24", remote = "172.16.1.0/16" }
   |                                                  ^^^^^^^^^^^^^^^ expected 172.16.0.0/16 (or 172.16.1.0 for the one address)"#),
    ("families mixed in the selectors", &[(r#"remote = "172.16.0.0/16" }"#, r#"remote = "2001:db8::/32" }"#)], r#"
tandem.toml:26:50: IPv4 and IPv6 in one pair of selectors: 192.168.0.0/24 and 2001:db8::/32
   |
26 | selectors = { local = "192.168.0.0/24", remote = "2001:db8::/32" }
   |                                                  ^^^^^^^^^^^^^^^ expected both of one family; "any" is 0.0.0.0/0, write "::/0" for IPv6"#),
    ("an access list that is not there", &[("acl = \"100\"\nike", "acl = \"110\"\nike")], r#"
tandem.toml:16:7: there is no access list "110"
   |
16 | acl = "110"
   |       ^^^^^ did you mean "100"?"#),
    ("a track that is not there", &[("track = 1\n\n", "track = 2\n\n")], r#"
tandem.toml:37:9: there is no track 2
   |
37 | track = 2
   |         ^ expected 1"#),
    ("a connection that is not there", &[(r#"connection = "conn1""#, r#"connection = "con1""#)], r#"
tandem.toml:35:14: there is no connection "con1"
   |
35 | connection = "con1"
   |              ^^^^^^ did you mean "conn1"?"#),
    ("a probe by a connection that is not there", &[(r#"via = "conn1""#, r#"via = "tunnel:paris""#)], r#"
tandem.toml:30:51: there is no connection "paris"
   |
30 | icmp_echo = { destination = "203.0.113.21", via = "tunnel:paris" }
   |                                                   ^^^^^^^^^^^^^^ expected one of "conn1", "conn2""#),
    ("two connections of one name", &[(r#"name = "conn2""#, r#"name = "conn1""#)], r#"
tandem.toml:21:8: a second connection "conn1"
   |
21 | name = "conn1"
   |        ^^^^^^^ the first is on line 11

tandem.toml:41:14: there is no connection "conn2"
   |
41 | connection = "conn2"
   |              ^^^^^^^ did you mean "conn1"?"#),
    ("a name that cannot be one", &[(r#"name = "conn2""#, r#"name = "conn 2""#)], r#"
tandem.toml:21:8: "conn 2" cannot be a name
   |
21 | name = "conn 2"
   |        ^^^^^^^^ expected 1 to 64 letters, digits, `-`, `_` or `.`, beginning with none of `-` and `.`"#),
    ("two connections between the same addresses", &[(r#"local = "192.0.2.40""#, r#"local = "198.51.100.20""#)], r#"
tandem.toml:24:10: a second connection from 198.51.100.20 to 203.0.113.21
   |
24 | remote = "203.0.113.21"
   |          ^^^^^^^^^^^^^^ expected another pair of addresses; the first is on line 14"#),
    ("two access lists of one name", &[(r#"[[track]]"#, "[[acl]]\nname = \"100\"\nrules = [\"permit ip any any\"]\n\n[[track]]")], r#"
tandem.toml:29:8: a second access list "100"
   |
29 | name = "100"
   |        ^^^^^ the first is on line 5"#),
    ("two tracks of one id", &[(r#"[[track]]"#, "[[track]]\nid = 1\nicmp_echo = { destination = \"203.0.113.21\", via = \"conn2\" }\n\n[[track]]")], r#"
tandem.toml:33:6: a second track 1
   |
33 | id = 1
   |      ^ the first is on line 29"#),
    ("two equal weights", &[("preference = 40\ntrack = 1\n", "weight = 100\n"), ("connection = \"conn2\"\n", "connection = \"conn2\"\nweight = 100\n")], r#"
tandem.toml:41:10: two routes to 172.16.0.0/16 with the weight 100
   |
41 | weight = 100
   |          ^^^ expected 100 for the active and 0 for the standby; the other is on line 36"#),
    ("weight and preference for one destination", &[("preference = 40\ntrack = 1\n", "weight = 100\n")], r#"
tandem.toml:38:1: routes to 172.16.0.0/16 by preference and by weight
   |
38 | [[route]]
   | ^^^^^^^^^ expected one way for all of them; the other is on line 36"#),
    ("weight and preference in one route", &[(r#"preference = 40"#, "preference = 40\nweight = 100")], r#"
tandem.toml:37:1: both `preference` and `weight`
   |
37 | weight = 100
   | ^^^^^^ expected one of them"#),
    ("a weight beyond 100", &[(r#"preference = 40"#, r#"weight = 101"#)], r#"
tandem.toml:36:10: `weight` = 101 is out of range
   |
36 | weight = 101
   |          ^^^ expected a whole number from 0 to 100"#),
    ("no key", &[("psk = \"correct horse\"\n", r#""#)], r#"
tandem.toml:10:1: [[connection]] has no `psk`
   |
10 | [[connection]]
   | ^^^^^^^^^^^^^^ expected psk_file = "FILE" or psk = "KEY""#),
    ("an empty key", &[(r#"psk = "correct horse""#, r#"psk = """#)], r#"
tandem.toml:15:7: `psk` is empty
   |
15 | psk = ***
   |       ^^^ expected 1 character or more; `tandem psk` makes one"#),
    ("a key that is no string", &[(r#"psk = "correct horse""#, r#"psk = 12345678"#)], r#"
tandem.toml:15:7: `psk` is an integer
   |
15 | psk = ***
   |       ^^^ expected a key in quotes"#),
    ("a key in place and in a file", &[(r#"psk = "correct horse""#, "psk = \"correct horse\"\npsk_file = \"conn1.psk\"")], r#"
tandem.toml:16:1: both `psk` and `psk_file`
   |
16 | psk_file = "conn1.psk"
   | ^^^^^^^^ expected one of them"#),
    ("a key file that is not there", &[(r#"psk = "correct horse""#, r#"psk_file = "/nonexistent/conn1.psk""#)], r#"
tandem.toml:15:12: `psk_file`: /nonexistent/conn1.psk cannot be read: no such file or directory
   |
15 | psk_file = "/nonexistent/conn1.psk"
   |            ^^^^^^^^^^^^^^^^^^^^^^^^ expected a file"#),
    ("a key file that is a directory", &[(r#"psk = "correct horse""#, r#"psk_file = "/""#)], r#"
tandem.toml:15:12: `psk_file`: / is a directory
   |
15 | psk_file = "/"
   |            ^^^ expected a file"#),
    ("a key file that is no file", &[(r#"psk = "correct horse""#, r#"psk_file = "/dev/null""#)], r#"
tandem.toml:15:12: `psk_file`: /dev/null is no regular file
   |
15 | psk_file = "/dev/null"
   |            ^^^^^^^^^^^ expected a file"#),
    ("no address of ours", &[("local = \"198.51.100.20\"\n", r#""#)], r#"
tandem.toml:10:1: [[connection]] has no `local`
   |
10 | [[connection]]
   | ^^^^^^^^^^^^^^ expected local = "ADDRESS", our address"#),
    ("no selectors", &[("acl = \"100\"\nike", r#"ike"#)], r#"
tandem.toml:10:1: [[connection]] has no `acl`
   |
10 | [[connection]]
   | ^^^^^^^^^^^^^^ expected acl = "NAME", or selectors = "any", or selectors = { local = "NET", remote = "NET" }"#),
    ("selectors and an access list", &[("acl = \"100\"\nike", "acl = \"100\"\nselectors = \"any\"\nike")], r#"
tandem.toml:17:1: both `acl` and `selectors`
   |
17 | selectors = "any"
   | ^^^^^^^^^ expected one of them"#),
    ("selectors by a word", &[(r#"selectors = { local = "192.168.0.0/24", remote = "172.16.0.0/16" }"#, r#"selectors = "all""#)], r#"
tandem.toml:26:13: `selectors` = "all" is not known
   |
26 | selectors = "all"
   |             ^^^^^ expected "any" or { local = "NET", remote = "NET" }"#),
    ("an unknown hash", &[(r#"aes128-sha1-group2"#, r#"aes128-sha-group2"#)], r#"
tandem.toml:17:22: unknown hash "sha"
   |
17 | ike = { proposals = ["aes128-sha-group2"] }
   |                      ^^^^^^^^^^^^^^^^^^^ did you mean sha1? expected one of `md5`, `sha1`, `sha256`, `sha384` and `sha512`"#),
    ("an unknown group", &[(r#"aes128-sha1-group2"#, r#"aes128-sha1-group99"#)], r#"
tandem.toml:17:22: unknown group "group99"
   |
17 | ike = { proposals = ["aes128-sha1-group99"] }
   |                      ^^^^^^^^^^^^^^^^^^^^^ did you mean group1? expected one of `group1`, `group2`, `group5`, `group14`, `group15` and `group16`"#),
    ("a phase 1 proposal of two parts", &[(r#"aes128-sha1-group2"#, r#"aes128-sha1"#)], r#"
tandem.toml:17:22: "aes128-sha1" is no phase 1 proposal
   |
17 | ike = { proposals = ["aes128-sha1"] }
   |                      ^^^^^^^^^^^^^ expected ENCRYPTION-HASH-GROUP such as aes128-sha1-group2"#),
    ("GCM in phase 1", &[(r#"aes128-sha1-group2"#, r#"aes128gcm16-sha1-group2"#)], r#"
tandem.toml:17:22: aes128gcm16 protects ESP only: IKEv1 has no authenticated encryption for its own messages
   |
17 | ike = { proposals = ["aes128gcm16-sha1-group2"] }
   |                      ^^^^^^^^^^^^^^^^^^^^^^^^^ expected ENCRYPTION-HASH-GROUP such as aes128-sha1-group2"#),
    ("GCM with an integrity algorithm", &[(r#"["aes128-sha1"]"#, r#"["aes128gcm16-sha1"]"#)], r#"
tandem.toml:18:22: "aes128gcm16-sha1" names more than aes128gcm16, which brings its own integrity
   |
18 | esp = { proposals = ["aes128gcm16-sha1"] }
   |                      ^^^^^^^^^^^^^^^^^^ expected aes128gcm16 alone"#),
    ("a group in a phase 2 proposal", &[(r#"["aes128-sha1"]"#, r#"["aes128-sha1-group2"]"#)], r#"
tandem.toml:18:22: "aes128-sha1-group2" names a group
   |
18 | esp = { proposals = ["aes128-sha1-group2"] }
   |                      ^^^^^^^^^^^^^^^^^^^^ expected aes128-sha1, and pfs = "group2" beside it"#),
    ("an unknown group for PFS", &[(r#"esp = { proposals = ["aes128-sha1"] }"#, r#"esp = { pfs = "off" }"#)], r#"
tandem.toml:18:15: unknown group "off"
   |
18 | esp = { pfs = "off" }
   |               ^^^^^ expected "disabled" or one of `group1`, `group2`, `group5`, `group14`, `group15` and `group16`"#),
    ("a replay window that is too small", &[(r#"esp = { proposals = ["aes128-sha1"] }"#, r#"esp = { replay_window = 32 }"#)], r#"
tandem.toml:18:25: `replay_window` = 32 is out of range
   |
18 | esp = { replay_window = 32 }
   |                         ^^ expected a whole number from 64 to 4096"#),
    ("a replay window that is too large", &[(r#"esp = { proposals = ["aes128-sha1"] }"#, r#"esp = { replay_window = 4097 }"#)], r#"
tandem.toml:18:25: `replay_window` = 4097 is out of range
   |
18 | esp = { replay_window = 4097 }
   |                         ^^^^ expected a whole number from 64 to 4096"#),
    ("an unknown start", &[("acl = \"100\"\nike", "acl = \"100\"\nstart = \"auto\"\nike")], r#"
tandem.toml:17:9: `start` = "auto" is not known
   |
17 | start = "auto"
   |         ^^^^^^ expected "always" or "on-traffic" or "passive""#),
    ("DPD by a word", &[("acl = \"100\"\nike", "acl = \"100\"\ndpd = \"on\"\nike")], r#"
tandem.toml:17:7: `dpd` = "on" is not known
   |
17 | dpd = "on"
   |       ^^^^ expected "off" or { delay = "10s", timeout = "30s" }"#),
    ("an identity with a space", &[("acl = \"100\"\nike", "acl = \"100\"\nlocal_id = \"head office\"\nike")], r#"
tandem.toml:17:12: "head office" is no identity
   |
17 | local_id = "head office"
   |            ^^^^^^^^^^^^^ expected an address or a domain name such as "gw.example.com""#),
    ("a next hop without an interface", &[(r#"interface = "ge1""#, r#"next_hop = "198.51.100.1""#)], r#"
tandem.toml:13:1: `next_hop` without `interface`
   |
13 | next_hop = "198.51.100.1"
   | ^^^^^^^^ expected interface = "NAME" beside it: the route to the peer leaves by it"#),
    ("an interface's name that is too long", &[(r#"interface = "ge1""#, r#"interface = "GigabitEthernet1""#)], r#"
tandem.toml:13:13: `interface` = "GigabitEthernet1" cannot be the name of an interface
   |
13 | interface = "GigabitEthernet1"
   |             ^^^^^^^^^^^^^^^^^^ expected 1 to 15 visible characters without `/`, `:` and `%`"#),
    ("the TUN device as the interface", &[(r#"interface = "ge1""#, r#"interface = "tandem0""#)], r#"
tandem.toml:11:8: the `interface` of conn1 is the TUN device
   |
11 | name = "conn1"
   |        ^^^^^^^ expected the interface towards the peer"#),
    ("a health check outside the selectors", &[("acl = \"100\"\nike", "acl = \"100\"\nhealth_check = { source = \"192.168.0.1\", destination = \"172.17.10.1\" }\nike")], r#"
tandem.toml:17:56: the health check's destination 172.17.10.1 lies outside the selectors
   |
17 | health_check = { source = "192.168.0.1", destination = "172.17.10.1" }
   |                                                        ^^^^^^^^^^^^^ expected an address of the peer's side in 172.16.0.0/16; it could never pass"#),
    ("a health check that is the wrong way round", &[("acl = \"100\"\nike", "acl = \"100\"\nhealth_check = { source = \"172.16.10.1\", destination = \"192.168.0.1\" }\nike")], r#"
tandem.toml:17:27: the health check's source 172.16.10.1 lies outside the selectors
   |
17 | health_check = { source = "172.16.10.1", destination = "192.168.0.1" }
   |                           ^^^^^^^^^^^^^ expected an address of ours in 192.168.0.0/24; it could never pass

tandem.toml:17:56: the health check's destination 192.168.0.1 lies outside the selectors
   |
17 | health_check = { source = "172.16.10.1", destination = "192.168.0.1" }
   |                                                        ^^^^^^^^^^^^^ expected an address of the peer's side in 172.16.0.0/16; it could never pass"#),
    ("a health check that a deny catches", &[(r#""permit ip 192"#, "\"deny icmp any any\",\n  \"permit ip 192"), ("acl = \"100\"\nike", "acl = \"100\"\nhealth_check = { source = \"192.168.0.1\", destination = \"172.16.10.1\" }\nike")], r#"
tandem.toml:18:56: no rule permits the health check's ICMP from 192.168.0.1 to 172.16.10.1
   |
18 | health_check = { source = "192.168.0.1", destination = "172.16.10.1" }
   |                                                        ^^^^^^^^^^^^^ expected a permit that covers both ends, ahead of any deny"#),
    ("a health check without its source", &[("acl = \"100\"\nike", "acl = \"100\"\nhealth_check = { destination = \"172.16.10.1\" }\nike")], r#"
tandem.toml:17:16: `health_check` has no `source`
   |
17 | health_check = { destination = "172.16.10.1" }
   |                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected source = "ADDRESS" inside the local selector"#),
    ("a probe through a tunnel from nowhere", &[(r#"destination = "203.0.113.21", via = "conn1""#, r#"destination = "172.16.1.10", via = "tunnel:conn1""#)], r#"
tandem.toml:30:13: `icmp_echo` has no `source`
   |
30 | icmp_echo = { destination = "172.16.1.10", via = "tunnel:conn1" }
   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected source = "ADDRESS" inside the local selector, which holds more than one address"#),
    ("a probe outside the tunnel to IPv6", &[(r#"destination = "203.0.113.21", via = "conn1""#, r#"destination = "2001:db8::1", via = "conn1""#)], r#"
tandem.toml:30:29: 2001:db8::1 is an IPv6 address, outside the tunnel
   |
30 | icmp_echo = { destination = "2001:db8::1", via = "conn1" }
   |                             ^^^^^^^^^^^^^ tandem's outer addresses are IPv4; expected one such as 203.0.113.21"#),
    ("a page for everyone without a token", &[(r#"127.0.0.1:9470"#, r#"0.0.0.0:9470"#)], r#"
tandem.toml:2:8: `http` = 0.0.0.0:9470 can be reached from other machines
  |
2 | http = "0.0.0.0:9470"
  |        ^^^^^^^^^^^^^^ expected http_token_file = "FILE" beside it (and TLS in front), or an address of loopback such as 127.0.0.1:9470"#),
    ("a page without a port", &[(r#"127.0.0.1:9470"#, r#"127.0.0.1"#)], r#"
tandem.toml:2:8: `http` = "127.0.0.1" is no address with a port
  |
2 | http = "127.0.0.1"
  |        ^^^^^^^^^^^ expected one such as 127.0.0.1:9470"#),
    ("an MTU by a word", &[(r#"http = "127.0.0.1:9470""#, r#"mtu = "large""#)], r#"
tandem.toml:2:7: `mtu` = "large" is not known
  |
2 | mtu = "large"
  |       ^^^^^^^ expected "auto" or a number from 576 to 9000"#),
    ("an MTU that is too small", &[(r#"http = "127.0.0.1:9470""#, r#"mtu = 68"#)], r#"
tandem.toml:2:7: `mtu` = 68 is out of range
  |
2 | mtu = 68
  |       ^^ expected a whole number from 576 to 9000"#),
    ("a TUN device with a slash", &[(r#"http = "127.0.0.1:9470""#, r#"tun = "net/tun""#)], r#"
tandem.toml:2:7: `tun` = "net/tun" cannot be the name of an interface
  |
2 | tun = "net/tun"
  |       ^^^^^^^^^ expected 1 to 15 visible characters without `/`, `:` and `%`"#),
    ("a socket's path that is too long", &[(r#"http = "127.0.0.1:9470""#, r#"control = "/run/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx""#)], r#"
tandem.toml:2:11: `control` = "/run/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..." cannot be the path of a socket
  |
2 | control = "/run/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected 1 to 107 bytes, the room in a socket's address"#),
    ("a rule that begins with another word", &[(r#""permit ip 192"#, r#""access-list 100 permit ip 192"#)], r#"
tandem.toml:7:4: "access-list" is neither permit nor deny
  |
7 |   "access-list 100 permit ip 192.168.0.0/24 172.16.0.0/16",
  |    ^^^^^^^^^^^ expected permit|deny PROTOCOL SOURCE [eq PORT] DESTINATION [eq PORT]"#),
    ("a rule of an unknown protocol", &[(r#""permit ip 192"#, r#""permit gre 192"#)], r#"
tandem.toml:7:11: unknown protocol "gre"
  |
7 |   "permit gre 192.168.0.0/24 172.16.0.0/16",
  |           ^^^ expected ip, tcp, udp, icmp or a number from 1 to 255"#),
    ("a rule that ends early", &[(r#"192.168.0.0/24 172.16.0.0/16","#, r#"192.168.0.0/24","#)], r#"
tandem.toml:7:28: the rule ends where a destination should follow
  |
7 |   "permit ip 192.168.0.0/24",
  |                            ^ expected permit|deny PROTOCOL SOURCE [eq PORT] DESTINATION [eq PORT]"#),
    ("a rule with host bits", &[(r#"permit ip 192.168.0.0/24 "#, r#"permit ip 192.168.0.10/24 "#)], r#"
tandem.toml:7:14: 192.168.0.10/24 has bits beyond its prefix
  |
7 |   "permit ip 192.168.0.10/24 172.16.0.0/16",
  |              ^^^^^^^^^^^^^^^ expected 192.168.0.0/24 (or 192.168.0.10 for the one address)"#),
    ("a rule with a netmask", &[(r#"permit ip 192.168.0.0/24 "#, r#"permit ip 192.168.0.0 255.255.255.0 "#)], r#"
tandem.toml:7:14: 255.255.255.0 is a netmask, not a wildcard mask
  |
7 |   "permit ip 192.168.0.0 255.255.255.0 172.16.0.0/16",
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^ expected 0.0.0.255 (or write 192.168.0.0/24)"#),
    ("a rule with a gap in its wildcard mask", &[(r#"permit ip 192.168.0.0/24 "#, r#"permit ip 192.168.0.0 0.0.255.0 "#)], r#"
tandem.toml:7:14: the wildcard mask 0.0.255.0 has a gap
  |
7 |   "permit ip 192.168.0.0 0.0.255.0 172.16.0.0/16",
  |              ^^^^^^^^^^^^^^^^^^^^^ expected zeros, then ones, as in 0.0.0.255: IKE knows prefixes only"#),
    ("a rule with an address inside its wildcard mask", &[(r#"permit ip 192.168.0.0/24 "#, r#"permit ip 192.168.0.10 0.0.0.255 "#)], r#"
tandem.toml:7:14: 192.168.0.10 has bits that the wildcard mask 0.0.0.255 ignores
  |
7 |   "permit ip 192.168.0.10 0.0.0.255 172.16.0.0/16",
  |              ^^^^^^^^^^^^^^^^^^^^^^ expected 192.168.0.0/24"#),
    ("a rule with a port of a protocol that has none", &[(r#"172.16.0.0/16","#, r#"172.16.0.0/16 eq 80","#)], r#"
tandem.toml:7:43: a port without tcp or udp
  |
7 |   "permit ip 192.168.0.0/24 172.16.0.0/16 eq 80",
  |                                           ^^^^^ expected the protocol tcp or udp"#),
    ("a rule with a port by name", &[(r#"permit ip 192.168.0.0/24 172.16.0.0/16","#, r#"permit tcp 192.168.0.0/24 172.16.0.0/16 eq www","#)], r#"
tandem.toml:7:47: "www" is no port
  |
7 |   "permit tcp 192.168.0.0/24 172.16.0.0/16 eq www",
  |                                               ^^^ expected a number from 1 to 65535"#),
    ("a rule with a range of ports", &[(r#"permit ip 192.168.0.0/24 172.16.0.0/16","#, r#"permit tcp 192.168.0.0/24 172.16.0.0/16 range 80 90","#)], r#"
tandem.toml:7:44: "range" after the end of the rule
  |
7 |   "permit tcp 192.168.0.0/24 172.16.0.0/16 range 80 90",
  |                                            ^^^^^ a proxy identity has one port or all of them (RFC 2407 section 4.6.2): expected `eq PORT` or nothing"#),
    ("a rule with IPv4 and IPv6", &[(r#"172.16.0.0/16","#, r#"2001:db8::/32","#)], r#"
tandem.toml:7:14: IPv4 and IPv6 in one rule: 192.168.0.0/24 and 2001:db8::/32
  |
7 |   "permit ip 192.168.0.0/24 2001:db8::/32",
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected both sides of one family; `any` is 0.0.0.0/0, write ::/0 for IPv6"#),
    ("an access list without a permit", &[(r#""permit ip 192"#, r#""deny ip 192"#)], r#"
tandem.toml:6:1: none of the rules is a permit
  |
6 | rules = [
  | ^^^^^ expected one permit or more: what none permits is dropped"#),
    ("an access list without rules", &[("rules = [\n  \"permit ip 192.168.0.0/24 172.16.0.0/16\",\n]", r#"rules = []"#)], r#"
tandem.toml:6:9: `rules` is empty
  |
6 | rules = []
  |         ^^ expected a list such as ["permit ip 192.168.0.0/24 172.16.0.0/16"]"#),
];
