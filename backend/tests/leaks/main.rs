//! Nothing of a front-end is left when it is gone. It is a test program of its own, because it counts
//! what the process holds.

#[path = "../serve/backend.rs"]
mod backend;
#[path = "../serve/client.rs"]
mod client;

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use backend::Backend;
use client::{Client, Inverter};
use vhost_fuzz_backend::connection::{End, ServeError};
use vhost_fuzz_backend::socket::ReceiveError;
use vhost_fuzz_core::vhost_user::FrameError;
use vhost_fuzz_world::driver::{Format, Style};
use vhost_fuzz_world::ram::Layout;

/// Descriptors, mappings and threads of this process.
fn held() -> [usize; 3] {
    let entries = |path| std::fs::read_dir(path).unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let files = maps.lines().filter(|line| line.contains("memfd:")).count();
    [entries("/proc/self/fd"), files, entries("/proc/self/task")]
}

#[test]
fn a_thousand_front_ends_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let backend = Backend::start(&path, Inverter::default());
    let round = |number: usize| {
        let stream = UnixStream::connect(&path).unwrap();
        match number % 4 {
            0 => drop(stream),
            1 => {
                // It dies in the middle of a header.
                (&stream).write_all(&[1; 7]).unwrap();
            }
            _ => {
                let format = if number % 4 == 2 { Format::Split } else { Format::Packed };
                let mut client = Client::connect(&stream, format, Layout::Small);
                assert_eq!(client.ask(&[9], &Style::default()), [246]);
                if number % 8 < 4 {
                    client.stop();
                }
            }
        }
    };
    let before = held();
    (0..1000).for_each(round);
    // The last one is gone when the back-end has seen it.
    backend.wait_for(1000);
    assert_eq!(held(), before, "descriptors, mappings, threads");
    let ends = backend.stop();
    let closed = ends.iter().filter(|end| **end == Ok(End::Closed)).count();
    assert_eq!(closed, 750, "all but those that died in a header");
    let cut = Err(ServeError::Receive(ReceiveError::Frame(FrameError::EofInHeader { have: 7 })));
    assert!((0..).zip(&ends).filter(|(number, _)| number % 4 == 1).all(|(_, end)| *end == cut));
}
