//! A back-end at a path, in a thread.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

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
    /// Connections that have ended.
    ended: Arc<AtomicUsize>,
}

impl Backend {
    pub(crate) fn start(path: &Path, device: Inverter) -> Self {
        let endpoint = Endpoint::Server(Listener::bind(path).unwrap());
        let stop = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let heard = stop.try_clone().unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut connection = Connection::new(device).unwrap();
            let mut ends = Vec::new();
            let tell = |end| {
                ends.push(end);
                counter.fetch_add(1, Ordering::Release);
            };
            endpoint.serve(&mut connection, heard.as_fd(), tell).unwrap();
            ends
        });
        Self { stop, thread, ended }
    }

    /// Waits until so many connections have ended, whose front-ends are gone.
    pub(crate) fn wait_for(&self, count: usize) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.ended.load(Ordering::Acquire) < count {
            assert!(Instant::now() < end, "a connection without a front-end does not end");
            thread::yield_now();
        }
    }

    pub(crate) fn stop(self) -> Ends {
        write(&self.stop, &1_u64.to_ne_bytes()).unwrap();
        self.thread.join().unwrap()
    }
}
