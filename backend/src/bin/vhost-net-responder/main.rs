//! A vhost-user network back-end that answers like a gateway: ARP, DHCP, ping, and the same over
//! IPv6. It is a peer for drivers and front-ends under test.
//!
//! It keeps to the conventions of back-end programs: it stays in the foreground (VU-251), ends on
//! SIGTERM (VU-252), takes `--socket-path` or `--fd` (VU-253), and tells what it can with
//! `--print-capabilities` (VU-254).

mod options;

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;

use clap::Parser as _;
use options::{Options, Where};
use rustix::event::{EventfdFlags, eventfd};
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use vhost_fuzz_backend::connection::{Connection, End, ServeError};
use vhost_fuzz_backend::listener::{Endpoint, Listener};
use vhost_fuzz_backend::net::Net;
use vhost_fuzz_backend::sigbus;

/// What the program can, for who starts it (VU-254).
const CAPABILITIES: &str = r#"{"type": "net", "features": []}"#;

fn main() -> ExitCode {
    let options = Options::parse();
    if options.print_capabilities {
        println!("{CAPABILITIES}");
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is told to stop.
fn run(options: &Options) -> Result<(), String> {
    let net = Net::new(&options.config()?).map_err(|error| error.to_string())?;
    let mut connection = Connection::new(net).map_err(|error| error.to_string())?;
    sigbus::install().map_err(|error| format!("cannot handle SIGBUS: {error}"))?;
    let stop = stop_on_signals().map_err(|error| format!("cannot handle signals: {error}"))?;
    let mut served = 0_u64;
    match options.place() {
        Where::Fd(number) => {
            let socket = inherited(number).map_err(|error| format!("--fd {number}: {error}"))?;
            tell(options, "a front-end is connected");
            let end = connection.serve(socket.as_fd(), Some(stop.as_fd()));
            report(options, served, &connection, end);
        }
        place => {
            let endpoint = endpoint(&place)?;
            tell(options, &format!("{place}"));
            let stopped = endpoint.serve_each(&mut connection, stop.as_fd(), |connection, end| {
                served += 1;
                report(options, served, connection, end);
                !options.once
            });
            stopped.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Where front-ends come from.
fn endpoint(place: &Where) -> Result<Endpoint, String> {
    match place {
        Where::Listen(path) => {
            let listener = Listener::bind(path);
            let listener = listener.map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => {
                    format!("{}: it is in use, or it is no socket", path.display())
                }
                _ => format!("{}: {error}", path.display()),
            })?;
            Ok(Endpoint::Server(listener))
        }
        Where::Connect(path) => Ok(Endpoint::Client(path.clone())),
        Where::Fd(number) => Err(format!("--fd {number} is one connection")),
    }
}

/// A connected socket that the program was started with: a duplicate of it, because nobody can say
/// that the number is not in use by something else.
fn inherited(number: i32) -> Result<OwnedFd, String> {
    let system = |error: rustix::io::Errno| io::Error::from(error).to_string();
    let this = pidfd_open(getpid(), PidfdFlags::empty()).map_err(system)?;
    let socket = pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).map_err(system)?;
    let is_stream = socket_domain(&socket).map_err(system)? == AddressFamily::UNIX
        && socket_type(&socket).map_err(system)? == SocketType::STREAM;
    if !is_stream {
        return Err("it is no unix stream socket".to_owned());
    }
    if socket_acceptconn(&socket).map_err(system)? {
        return Err("it listens; a connected socket is needed".to_owned());
    }
    Ok(socket)
}

/// What can be read as soon as the program is to end (VU-252).
fn stop_on_signals() -> io::Result<OwnedFd> {
    let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let told = stop.try_clone()?;
    ctrlc::set_handler(move || {
        // It can fail when it was written to already, and then it can be read.
        let _ = rustix::io::write(&told, &1_u64.to_ne_bytes());
    })
    .map_err(io::Error::other)?;
    Ok(stop)
}

/// Says what happens, unless nobody wants to know.
fn tell(options: &Options, what: &str) {
    if !options.quiet {
        eprintln!("{what}");
    }
}

fn report(
    options: &Options,
    number: u64,
    connection: &Connection<Net>,
    end: Result<End, ServeError>,
) {
    let how = match end {
        Ok(End::Closed) => "it closed the connection".to_owned(),
        Ok(End::Refused(refusal)) => format!("refused: {refusal}"),
        Ok(End::Stopped) => "stopped".to_owned(),
        Ok(End::MemoryLost) => "it has shortened a file that it shares".to_owned(),
        Err(error) => error.to_string(),
    };
    let counters = connection.device().counters();
    tell(
        options,
        &format!(
            "front-end {number}: {how}; so far {} frames taken, {} malformed, {} refused, {} \
             answers delivered, {} filtered, {} without room",
            counters.taken,
            counters.malformed,
            counters.refused,
            counters.delivered,
            counters.filtered,
            counters.dropped,
        ),
    );
}
