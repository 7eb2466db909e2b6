//! The back-end: a network device at a socket, in a thread.

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::io::write;
use vhost_fuzz_backend::connection::{Connection, End, ServeError};
use vhost_fuzz_backend::listener::{Endpoint, Listener};
use vhost_fuzz_backend::net::{Config, Net};
use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::rate::Limiter;

use super::Habits;
use super::ledger::{IP, MAC};
use super::queue::event;
use super::report::{Fault, Tally};

/// How connections ended.
#[derive(Debug, Default)]
struct Ends {
    closed: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    lost: AtomicU64,
}

impl Ends {
    fn note(&self, end: Result<End, ServeError>) {
        let count = match end {
            Ok(End::Closed | End::Stopped) => &self.closed,
            Ok(End::Refused(_)) => &self.refused,
            Ok(End::MemoryLost) => &self.lost,
            Err(_) => &self.cut,
        };
        count.fetch_add(1, Ordering::Release);
    }

    fn all(&self) -> u64 {
        let each = [&self.closed, &self.refused, &self.cut, &self.lost];
        each.map(|count| count.load(Ordering::Acquire)).iter().sum()
    }
}

/// How a device is set up in one life of a back-end.
pub(super) fn config(rng: &mut fastrand::Rng) -> Config {
    let mut config = Config::new(Mac(MAC), Some(IP));
    config.gateway.limiter = Limiter::new(u32::MAX, u32::MAX);
    config.pairs = rng.u16(1..=4);
    config.has_control = rng.u8(..4) > 0;
    // Requests in flight are recorded only without one of these two.
    (config.has_packed, config.merges) = match rng.u8(..4) {
        0 => (true, false),
        1 => (false, true),
        _ => (true, true),
    };
    config.queue_size = 512;
    config
}

/// A back-end that serves one front-end after another.
pub(super) struct BackEnd {
    stop: OwnedFd,
    thread: JoinHandle<std::io::Result<()>>,
    ends: Arc<Ends>,
    path: PathBuf,
    /// The socket's, which goes with it.
    _folder: tempfile::TempDir,
}

fn system(error: impl std::fmt::Display) -> Fault {
    Fault::System(error.to_string())
}

impl BackEnd {
    pub(super) fn start<H: Habits>(config: &Config, habits: &H) -> Result<Self, Fault> {
        let folder = tempfile::tempdir().map_err(system)?;
        let path = folder.path().join("socket");
        let endpoint = Endpoint::Server(Listener::bind(&path).map_err(system)?);
        let device = habits.device(Net::new(config).map_err(system)?);
        let mut connection = Connection::new(device).map_err(system)?;
        let stop = event()?;
        let told = stop.try_clone().map_err(system)?;
        let ends = Arc::new(Ends::default());
        let noted = Arc::clone(&ends);
        let thread = thread::Builder::new().name("back-end".to_owned());
        let thread = thread
            .spawn(move || endpoint.serve(&mut connection, told.as_fd(), |end| noted.note(end)));
        Ok(Self { stop, thread: thread.map_err(system)?, ends, path, _folder: folder })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until so many connections have ended.
    pub(super) fn wait_for(&self, connections: u64, patience: Duration) -> Result<(), Fault> {
        let end = Instant::now() + patience;
        while self.ends.all() < connections {
            if self.thread.is_finished() {
                return Err(Fault::Panic("the back-end is gone".to_owned()));
            }
            if Instant::now() > end {
                return Err(Fault::NotEnded);
            }
            thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    /// Whether its thread ends about now, which it does only when it is told to. Sockets are closed
    /// a moment before.
    pub(super) fn is_going(&self) -> bool {
        let end = Instant::now() + Duration::from_secs(2);
        while !self.thread.is_finished() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        self.thread.is_finished()
    }

    /// Stops it, and adds up how its connections ended. A thread that does not stop is left alone.
    pub(super) fn stop(self, tally: &mut Tally, patience: Duration) -> Result<(), Fault> {
        write(&self.stop, &1_u64.to_ne_bytes()).map_err(system)?;
        let end = Instant::now() + patience;
        while !self.thread.is_finished() {
            if Instant::now() > end {
                return Err(Fault::NotEnded);
            }
            thread::sleep(Duration::from_micros(100));
        }
        let load = |count: &AtomicU64| count.load(Ordering::Acquire);
        tally.back_ends += 1;
        tally.refused += load(&self.ends.refused);
        tally.cut += load(&self.ends.cut);
        tally.lost += load(&self.ends.lost);
        match self.thread.join() {
            Ok(served) => served.map_err(system),
            Err(panic) => Err(Fault::Panic(super::text(&*panic))),
        }
    }
}
