//! What `run` keeps of root. A program of its own, without the test harness: capabilities can only be given up by a process with one thread.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use caps::{CapSet, Capability, CapsHashSet};
use tandem::io::caps::{CapsError, check, keep_only_needed};

fn main() {
    check().expect("this test needs root");
    let wanted: CapsHashSet = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW, Capability::CAP_NET_BIND_SERVICE].into();

    keep_only_needed().unwrap();
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Bounding] {
        assert_eq!(caps::read(None, set).unwrap(), wanted, "{set:?}");
    }
    for set in [CapSet::Inheritable, CapSet::Ambient] {
        assert!(caps::read(None, set).unwrap().is_empty(), "{set:?}");
    }
    assert!(rustix::thread::no_new_privs().unwrap());
    check().expect("what is kept is enough to run");
    keep_only_needed().expect("giving up twice is fine");

    // A thread that is started now has no more.
    let of_thread = std::thread::spawn(|| caps::read(None, CapSet::Effective).unwrap()).join().unwrap();
    assert_eq!(of_thread, wanted);

    caps::drop(None, CapSet::Effective, Capability::CAP_NET_RAW).unwrap();
    let Err(CapsError::Missing(missing)) = check() else { panic!("CAP_NET_RAW is missing") };
    assert!(missing.len() == 1 && missing[0].starts_with("CAP_NET_RAW"), "{missing:?}");
    caps::clear(None, CapSet::Effective).unwrap();
    let Err(CapsError::Missing(missing)) = check() else { panic!("all are missing") };
    assert_eq!(missing.len(), 3, "{missing:?}");
    println!("1 passed, 0 failed");
}
