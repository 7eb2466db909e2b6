//! A thread that stands between both ends of a link.
//!
//! It listens where one of them connects, and connects where the other listens. It listens only as
//! long as somebody listens at the other end, so that who connects is refused as it would be
//! without it. Connections that are closed at one end are closed at the other.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use vhost_fuzz_backend::event;
use vhost_fuzz_core::vhost_user::Channel;

use super::tamper::Tamper;
use super::tape::Tape;
use super::wire::{Around, Side, Wire};
use super::{Faults, Listens, is_listening};

/// How often is looked whether somebody listens.
const TICK: Duration = Duration::from_millis(20);

/// The thread, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Handle {
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && event::signal(&self.stop).is_ok()
            && thread.join().is_err()
        {
            eprintln!("error: a relay panicked");
        }
    }
}

/// Starts to pass on connections that come to `listen_at` to who listens at `connect_to`. Who
/// `listens` in the end tells which of them is the front-end.
///
/// # Errors
/// There can be no such thread.
pub(super) fn start(
    listen_at: PathBuf,
    connect_to: PathBuf,
    listens: Listens,
    faults: Faults,
    tape: Option<Tape>,
) -> Result<Handle> {
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let relay = Relay {
        stop: stop.try_clone()?,
        listen_at,
        connect_to,
        listens,
        listener: None,
        looked: None,
        wires: Vec::new(),
        numbers: 0,
        tamper: Tamper::new(faults),
        tape,
    };
    let thread = thread::Builder::new().name("relay".to_owned()).spawn(move || relay.run());
    Ok(Handle { stop, thread: Some(thread.context("a relay cannot be started")?) })
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stop,
    Listener,
    Wire(usize, Side),
    Call(usize),
}

struct Relay {
    stop: OwnedFd,
    listen_at: PathBuf,
    connect_to: PathBuf,
    listens: Listens,
    /// While somebody listens at the other end.
    listener: Option<UnixListener>,
    /// When that was looked at.
    looked: Option<Instant>,
    wires: Vec<Wire>,
    /// Connections so far.
    numbers: i64,
    tamper: Tamper,
    tape: Option<Tape>,
}

impl Relay {
    fn run(mut self) {
        let ended = self.serve();
        // The connections are over, too.
        let saved = self.tape.as_ref().map_or(Ok(()), Tape::save);
        for error in [ended.err(), saved.err()].into_iter().flatten() {
            eprintln!("error: between both ends of {}: {error:#}", self.listen_at.display());
        }
    }

    /// Passes on until it is told to stop.
    fn serve(&mut self) -> Result<()> {
        loop {
            self.look()?;
            let ready = self.wait().context("poll")?;
            let mut is_over = vec![false; self.wires.len()];
            let mut begun = Vec::new();
            for (source, flags) in ready {
                match source {
                    Source::Stop => return Ok(()),
                    Source::Listener => self.accept()?,
                    Source::Call(at) => self.tamper.called(at),
                    Source::Wire(at, side) => {
                        let Self { wires, tamper, tape, .. } = self;
                        let mut around = Around { tamper, tape: tape.as_mut(), begun: &mut begun };
                        let (Some(wire), Some(is_over)) = (wires.get_mut(at), is_over.get_mut(at))
                        else {
                            continue;
                        };
                        *is_over |= !*is_over && !wire.serve(side, flags, &mut around);
                    }
                }
            }
            self.sweep(&is_over);
            for (front, back) in begun {
                self.add(Channel::Backend, front, back);
            }
        }
    }

    /// Listens if somebody does at the other end.
    fn look(&mut self) -> Result<()> {
        if self.looked.is_some_and(|looked| looked.elapsed() < TICK) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        match (&self.listener, is_listening(&self.connect_to)) {
            (None, true) => {
                match std::fs::remove_file(&self.listen_at) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(error.into());
                    }
                    _ => {}
                }
                let listener = UnixListener::bind(&self.listen_at)?;
                listener.set_nonblocking(true)?;
                self.listener = Some(listener);
            }
            (Some(_), false) => self.listener = None,
            _ => {}
        }
        Ok(())
    }

    /// Waits until there is something to do.
    fn wait(&self) -> io::Result<Vec<(Source, PollFlags)>> {
        let mut sources = vec![(Source::Stop, self.stop.as_fd(), PollFlags::IN)];
        let listener = self.listener.as_ref();
        sources.extend(listener.map(|it| (Source::Listener, it.as_fd(), PollFlags::IN)));
        for (at, wire) in self.wires.iter().enumerate() {
            let ends = Side::BOTH.into_iter().filter_map(|side| {
                Some((Source::Wire(at, side), wire.socket(side), wire.interest(side)?))
            });
            sources.extend(ends);
        }
        let calls = self.tamper.calls().enumerate();
        sources.extend(calls.map(|(at, call)| (Source::Call(at), call, PollFlags::IN)));
        let mut fds: Vec<_> =
            sources.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
        retry_on_intr(|| poll(&mut fds, Some(&tick)))?;
        let ready = fds.iter().map(PollFd::revents).zip(&sources);
        let ready = ready.filter(|(flags, _)| !flags.is_empty());
        Ok(ready.map(|(flags, (source, ..))| (*source, flags)).collect())
    }

    /// Takes who has come, if the other end is there.
    fn accept(&mut self) -> Result<()> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let Ok((came, _)) = listener.accept() else { return Ok(()) };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let other = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&other, &SocketAddrUnix::new(&self.connect_to)?) {
            Ok(()) => match self.listens {
                Listens::Back => self.add(Channel::Main, came.into(), other),
                Listens::Front => self.add(Channel::Main, other, came.into()),
            },
            // It is gone, or has no room. The next look will tell; who came is sent away.
            Err(Errno::CONNREFUSED | Errno::NOENT | Errno::AGAIN) => self.looked = None,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn add(&mut self, channel: Channel, front: OwnedFd, back: OwnedFd) {
        self.numbers += 1;
        self.wires.push(Wire::new(self.numbers, channel, front, back));
    }

    /// Drops connections that are over.
    fn sweep(&mut self, is_over: &[bool]) {
        let mut is_over = is_over.iter();
        let Self { wires, tape, looked, .. } = self;
        wires.retain(|wire| {
            let is_over = is_over.next() == Some(&true);
            if is_over {
                // The end that is gone may have been who listened.
                *looked = None;
                if let Some(tape) = tape {
                    tape.closed(wire.number);
                }
            }
            !is_over
        });
    }
}
