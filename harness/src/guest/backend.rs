//! The reference back-end in a thread.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use vhost_fuzz_backend::connection::{Connection, End, ServeError};
use vhost_fuzz_backend::listener::{Endpoint, Listener};
use vhost_fuzz_backend::net::{Config, Net};
use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::rate::Limiter;

/// What a thread of a back-end comes to.
type Served = io::Result<Vec<Result<End, ServeError>>>;

/// A back-end that serves one front-end after another until it is stopped or dropped.
#[derive(Debug)]
pub struct TestBackend {
    path: PathBuf,
    stop: OwnedFd,
    thread: Option<JoinHandle<Served>>,
    /// The folder of the socket goes when the back-end does.
    _folder: tempfile::TempDir,
}

impl TestBackend {
    /// A back-end whose guest has this Ethernet address, and gets this IPv4 address by DHCP if
    /// there is one. It offers everything that it can, and answers as often as it is asked.
    ///
    /// # Errors
    /// What the system says, or why there can be no such device.
    pub fn new(mac: [u8; 6], address: Option<Ipv4Addr>) -> io::Result<Self> {
        let mut config = Config::new(Mac(mac), address);
        config.gateway.limiter = Limiter::new(u32::MAX, u32::MAX);
        Self::with(&config)
    }

    /// A back-end that is set up in any way.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(config: &Config) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("socket");
        let endpoint = Endpoint::Server(Listener::bind(&path)?);
        let net = Net::new(config).map_err(io::Error::other)?;
        let mut connection = Connection::new(net).map_err(io::Error::other)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let told = stop.try_clone()?;
        let thread = thread::Builder::new().name("back-end".to_owned()).spawn(move || {
            let mut ends = Vec::new();
            endpoint.serve(&mut connection, told.as_fd(), |end| ends.push(end))?;
            Ok(ends)
        })?;
        Ok(Self { path, stop, thread: Some(thread), _folder: folder })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stops it, and tells how each connection ended.
    ///
    /// # Errors
    /// It could not go on, or panicked.
    pub fn stop(mut self) -> Served {
        self.tell()?;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(served)) => served,
            Some(Err(_)) => Err(io::Error::other("the back-end panicked")),
            None => Ok(Vec::new()),
        }
    }

    fn tell(&self) -> io::Result<()> {
        rustix::io::write(&self.stop, &1_u64.to_ne_bytes())?;
        Ok(())
    }
}

impl Drop for TestBackend {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && self.tell().is_ok()
        {
            // What it came to, only who stops it wants to know.
            let _ = thread.join();
        }
    }
}
