//! The control socket, and that there is only one tandem behind it.
//!
//! A lock file beside the socket is held for as long as the process lives; the kernel lets go of it whatever the end is. So a socket found
//! while the lock is ours is one that a crash left, and may be removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use thiserror::Error;

/// How many clients may wait to be accepted.
const BACKLOG: i32 = 16;

/// Why the control socket could not be made.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another instance.
    #[error("another tandem is running with the control socket {0} (see `tandem status --control {0}`)")]
    Running(PathBuf),
    /// Something else is in the way.
    #[error("{0} exists and is no socket: remove it, or choose another path for `control`")]
    NotASocket(PathBuf),
    /// A socket path must fit `sockaddr_un`.
    #[error("the path {0} is too long for a socket: at most 107 bytes")]
    TooLong(PathBuf),
    /// The file system refused.
    #[error("cannot {what} {path}: {source}")]
    Other {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The listening control socket. Removed when dropped.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl ControlSocket {
    /// Makes the socket, which only its owner can open (mode 0600), and its directory (0700) if that is missing.
    pub fn bind(path: &Path) -> Result<Self, LockError> {
        let other = |what, path: &Path| {
            let path = path.to_owned();
            move |source| LockError::Other { what, path, source }
        };
        let address = SockAddr::unix(path).map_err(|_| LockError::TooLong(path.to_owned()))?;
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(other("create the directory", directory))?;
        }
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let Some(lock) = lock(&lock_path).map_err(other("lock", &lock_path))? else {
            return Err(LockError::Running(path.to_owned()));
        };
        remove_stale(path)?;

        let listener = || {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
            // The file takes its mode from the socket when it is bound: there is no moment in which others could open it.
            rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
            socket.bind(&address)?;
            socket.listen(BACKLOG)?;
            Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
        };
        let listener = listener().map_err(other("listen on", path))?;
        Ok(Self { listener, path: path.to_owned(), lock_path, _lock: lock })
    }

    /// The listener, non-blocking, for `tokio::net::UnixListener::from_std`.
    pub fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The lock goes last: whoever gets it finds no files, or makes new ones.
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.lock_path);
    }
}

/// Takes the lock; `None` if another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
        // Its last owner may have removed the file after we opened it; then this lock locks nothing.
        match fs::metadata(path) {
            Ok(now) if now.ino() == file.metadata()?.ino() => return Ok(Some(file)),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
}

fn remove_stale(path: &Path) -> Result<(), LockError> {
    let other = |what| move |source| LockError::Other { what, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(other("look at")(e)),
        Ok(found) if !found.file_type().is_socket() => return Err(LockError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    // The lock may have been removed by hand while its owner lives.
    if UnixStream::connect(path).is_ok() {
        return Err(LockError::Running(path.to_owned()));
    }
    fs::remove_file(path).map_err(other("remove the stale socket"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_can_open_the_socket_and_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/tandem.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_second_instance_is_told_that_one_is_running() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tandem.sock");
        let first = ControlSocket::bind(&path).unwrap();
        let error = ControlSocket::bind(&path).unwrap_err();
        assert!(matches!(error, LockError::Running(_)), "{error}");
        drop(first);
        ControlSocket::bind(&path).unwrap();
    }

    #[test]
    fn a_socket_that_a_crash_left_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tandem.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _socket = ControlSocket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_living_socket_without_a_lock_and_a_file_in_the_way_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tandem.sock");
        let other = UnixListener::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(LockError::Running(_))));
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(LockError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        assert!(matches!(ControlSocket::bind(&dir.path().join("x".repeat(120))), Err(LockError::TooLong(_))));
    }
}
