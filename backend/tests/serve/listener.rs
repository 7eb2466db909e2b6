//! Front-ends come and go, and wait for each other.

use std::os::unix::net::UnixStream;

use vhost_fuzz_backend::connection::End;
use vhost_fuzz_world::driver::{Format, Style};
use vhost_fuzz_world::ram::Layout;

use crate::backend::Backend;
use crate::client::{Client, Inverter};

#[test]
fn front_ends_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let backend = Backend::start(&path, Inverter::default());
    let streams: Vec<_> = (0..64).map(|_| UnixStream::connect(&path).unwrap()).collect();
    for stream in streams {
        let mut client = Client::connect(&stream, Format::Packed, Layout::Small);
        assert_eq!(client.ask(&[0, 1], &Style::default()), [255, 254]);
    }
    backend.wait_for(64);
    assert_eq!(backend.stop(), [Ok(End::Closed); 64]);
    assert!(!path.exists(), "the path goes with the back-end");
}

#[test]
fn a_stop_ends_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let backend = Backend::start(&path, Inverter::default());
    let stream = UnixStream::connect(&path).unwrap();
    let mut client = Client::connect(&stream, Format::Split, Layout::Small);
    assert_eq!(client.ask(&[1], &Style::default()), [254]);
    assert_eq!(backend.stop(), [Ok(End::Stopped)]);
}
