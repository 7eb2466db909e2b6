//! One front-end after another, at a path.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use crate::connection::{Connection, End, ServeError};
use crate::device::Device;

/// How long a client waits before it tries to connect again.
const RETRY: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };

/// Where front-ends come from.
#[derive(Debug)]
pub enum Endpoint {
    /// We listen, and they connect. Those that come while one is served wait until it is gone.
    Server(Listener),
    /// They listen, and we connect, again and again.
    Client(PathBuf),
}

/// A listening socket at a path, which is removed when it is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket: what somebody else puts at the path stays there.
    file: Option<(u64, u64)>,
}

impl Listener {
    /// Listens at a path. A socket that is there and that nobody listens at is replaced: a process
    /// that was killed leaves one.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there or when it is no socket, and what the system says.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            other => other?,
        };
        let file = std::fs::symlink_metadata(path).ok().as_ref().map(identity);
        Ok(Self { socket, path: path.to_owned(), file })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let there = std::fs::symlink_metadata(&self.path).ok().as_ref().map(identity);
        if self.file.is_some() && there == self.file {
            // Nobody can do anything about a path that cannot be removed.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Whether there is a socket that nobody listens at.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).is_err_and(refused)
}

impl Endpoint {
    /// Serves one front-end after another until `stop` can be read. `tell` hears how each
    /// connection ended.
    ///
    /// # Errors
    /// Nobody can come any more. A connection that ends badly is none.
    pub fn serve<D: Device>(
        &self,
        connection: &mut Connection<D>,
        stop: BorrowedFd<'_>,
        mut tell: impl FnMut(Result<End, ServeError>),
    ) -> io::Result<()> {
        self.serve_each(connection, stop, |_, end| {
            tell(end);
            true
        })
    }

    /// The same. `tell` can look at the device, and says whether another front-end may come.
    ///
    /// # Errors
    /// As [`serve`](Self::serve).
    pub fn serve_each<D: Device>(
        &self,
        connection: &mut Connection<D>,
        stop: BorrowedFd<'_>,
        mut tell: impl FnMut(&Connection<D>, Result<End, ServeError>) -> bool,
    ) -> io::Result<()> {
        while let Some(stream) = self.next(stop)? {
            let end = connection.serve(stream.as_fd(), Some(stop));
            drop(stream);
            let is_over = end == Ok(End::Stopped);
            if !tell(connection, end) || is_over {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the next front-end; nothing when it is time to stop.
    fn next(&self, stop: BorrowedFd<'_>) -> io::Result<Option<UnixStream>> {
        loop {
            match self {
                Self::Server(Listener { socket, .. }) => {
                    if is_ready(stop, Some(socket.as_fd()), None)? {
                        return Ok(None);
                    }
                    match socket.accept() {
                        Ok((stream, _)) => return Ok(Some(stream)),
                        Err(error) if is_passing(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
                Self::Client(path) => {
                    if let Ok(stream) = UnixStream::connect(path) {
                        return Ok(Some(stream));
                    }
                    if is_ready(stop, None, Some(&RETRY))? {
                        return Ok(None);
                    }
                }
            }
        }
    }
}

/// Waits until `stop` or the other one can be read, or time is over. Says whether it is `stop`.
fn is_ready(
    stop: BorrowedFd<'_>,
    other: Option<BorrowedFd<'_>>,
    timeout: Option<&Timespec>,
) -> io::Result<bool> {
    let mut fds = arrayvec::ArrayVec::<PollFd<'_>, 2>::new();
    fds.push(PollFd::from_borrowed_fd(stop, PollFlags::IN));
    fds.extend(other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    retry_on_intr(|| poll(&mut fds, timeout))?;
    Ok(fds.first().is_some_and(|fd| !fd.revents().is_empty()))
}

/// A front-end that went away while it waited is no reason to stop.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_socket_is_replaced_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let first = Listener::bind(&path).unwrap();
        assert_eq!(Listener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(first);
        assert!(!path.exists(), "the path is removed with the listener");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "what a killed process leaves");
        let second = Listener::bind(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        drop(second);
        assert!(path.exists(), "what somebody else put there stays");
        assert_eq!(Listener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
