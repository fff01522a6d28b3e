//! For tests: network namespaces that vanish with the thread that is in them. They need root, and fail loudly without it.
#![allow(unsafe_code, clippy::unwrap_used)] // unshare

use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own.
pub(super) struct Namespace {
    jobs: Sender<Job>,
    thread: i32,
}

impl Namespace {
    pub(super) fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let (ready, started) = channel();
        thread::spawn(move || {
            // SAFETY: only the network namespace of this thread changes; it shares no file table or memory anew.
            let result = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
            ready.send(result.map(|()| rustix::thread::gettid().as_raw_nonzero().get())).unwrap();
            while let Ok(job) = queue.recv() {
                job();
            }
        });
        let thread = started.recv().unwrap().expect("a network namespace (this test needs root)");
        let namespace = Self { jobs, thread };
        namespace.shell("ip link set lo up");
        namespace
    }

    /// Runs this in the namespace. A panic in it is one of the test.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        self.jobs
            .send(Box::new(move || {
                let _ = done.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)));
            }))
            .unwrap();
        result.recv().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Runs this in the namespace, inside a tokio runtime with one thread as tandem has it.
    pub(super) fn run_async<T: Send + 'static, F: Future<Output = T>>(&self, job: impl FnOnce() -> F + Send + 'static) -> T {
        self.run(move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(job()))
    }

    /// Runs a shell command in the namespace; returns what it prints.
    pub(super) fn shell(&self, command: &str) -> String {
        let command = command.to_owned();
        self.run(move || shell(&command))
    }

    /// Connects two namespaces: `names.0` here, `names.1` there, each with its address and up.
    pub(super) fn join(&self, other: &Self, names: (&str, &str), addresses: (&str, &str)) {
        let (here, there) = names;
        self.shell(&format!("ip link add {here} type veth peer name {there} netns {}", other.thread));
        self.shell(&format!("ip addr add {} dev {here} && ip link set {here} up", addresses.0));
        other.shell(&format!("ip addr add {} dev {there} && ip link set {there} up", addresses.1));
    }
}

/// Runs a shell command in the calling thread's namespace.
pub(super) fn shell(command: &str) -> String {
    let output = Command::new("sh").args(["-ec", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
