//! A back-end at a path, in a thread.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::write;
use vhost_fuzz_backend::connection::{Connection, End, ServeError};
use vhost_fuzz_backend::listener::{Endpoint, Listener};

use crate::client::Inverter;

/// How each connection ended.
pub(crate) type Ends = Vec<Result<End, ServeError>>;

/// A back-end at a path, in a thread.
pub(crate) struct Backend {
    stop: std::os::fd::OwnedFd,
    thread: JoinHandle<Ends>,
}

impl Backend {
    pub(crate) fn start(path: &Path) -> Self {
        let endpoint = Endpoint::Server(Listener::bind(path).unwrap());
        let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let heard = stop.try_clone().unwrap();
        let thread = thread::spawn(move || {
            let mut connection = Connection::new(Inverter::default()).unwrap();
            let mut ends = Vec::new();
            endpoint.serve(&mut connection, heard.as_fd(), |end| ends.push(end)).unwrap();
            ends
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Ends {
        write(&self.stop, &1_u64.to_ne_bytes()).unwrap();
        self.thread.join().unwrap()
    }
}
