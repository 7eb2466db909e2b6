//! A back-end serves a real front-end over a socket: every form of chain, both layouts, until the
//! front-end is gone.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use vhost_fuzz_backend::connection::{Connection, End, ServeError};
use vhost_fuzz_world::driver::{Driver as _, Format, Style};
use vhost_fuzz_world::ram::Layout;

use crate::client::{Client, Inverter};

type Server = JoinHandle<(Connection<Inverter>, Result<End, ServeError>)>;

fn serve(mut connection: Connection<Inverter>) -> (UnixStream, Server) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        let end = connection.serve(ours.as_fd(), None);
        (connection, end)
    });
    (theirs, server)
}

fn answers(format: Format, layout: Layout) {
    let connection = Connection::new(Inverter::default()).unwrap();
    let (stream, server) = serve(connection);
    let mut client = Client::connect(&stream, format, layout);
    for seed in 0..500 {
        let style = Style { is_aliased: false, ..Style::draw(seed) };
        let bytes: Vec<_> = (0..=u8::try_from(seed % 200).unwrap()).collect();
        let expected: Vec<_> = bytes.iter().map(|byte| !byte).collect();
        assert_eq!(client.ask(&bytes, &style), expected, "{style:?}");
    }
    let base = client.stop();
    assert_eq!(base, client.driver.base(), "all that was taken was given back");
    drop((client, stream));
    let (connection, end) = server.join().unwrap();
    assert_eq!((end, connection.device().chains), (Ok(End::Closed), 500));
    assert!(connection.session().memory().slots().is_empty(), "nothing stays mapped");
}

#[test]
fn a_split_ring_is_served() {
    answers(Format::Split, Layout::Small);
    answers(Format::Split, Layout::Odd);
}

#[test]
fn a_packed_ring_is_served() {
    answers(Format::Packed, Layout::Small);
    answers(Format::Packed, Layout::Odd);
}

#[test]
fn one_front_end_after_another() {
    let mut connection = Connection::new(Inverter::default()).unwrap();
    for round in 0..20 {
        let (stream, server) = serve(connection);
        let format = if round % 2 == 0 { Format::Split } else { Format::Packed };
        let mut client = Client::connect(&stream, format, Layout::Small);
        assert_eq!(client.ask(&[1, 2, 3], &Style::default()), [254, 253, 252]);
        drop((client, stream));
        let (served, end) = server.join().unwrap();
        assert_eq!(end, Ok(End::Closed));
        connection = served;
    }
}
