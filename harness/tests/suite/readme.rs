//! The examples of the README, compiled: each of their lines stands in this file as well.

use std::os::fd::OwnedFd;
use std::path::Path;

use vhost_fuzz_core::session::{Done, Effect, EffectError, Refusal, Reply, Session, Step};
use vhost_fuzz_core::vhost_user::{Flags, Frame, HEADER_LEN, Header, Kind};
use vhost_fuzz_core::wire::SliceSink;
use vhost_fuzz_harness::session::talk::offer;

/// The reader's own code, where the README leaves it to them.
mod yours {
    use super::{Done, Effect, EffectError, OwnedFd, Reply};

    pub(crate) use vhost_fuzz_harness::codec::Core as MyCodec;

    #[derive(Debug)]
    pub(crate) struct MyMapping;

    #[derive(Debug, Default)]
    pub(crate) struct MyDevice {
        pub(crate) sent: Vec<u8>,
    }

    impl MyDevice {
        pub(crate) fn perform(
            &mut self,
            effect: Effect<'_, OwnedFd>,
        ) -> Result<Done<'static, OwnedFd, MyMapping>, EffectError> {
            drop(effect);
            Ok(Done::Nothing)
        }

        pub(crate) fn send(&mut self, reply: Reply<'_, OwnedFd>) {
            self.sent.extend(reply.bytes);
        }
    }
}

use yours::{MyCodec, MyDevice, MyMapping};

mod codec_example {
    use super::MyCodec;

    use vhost_fuzz_harness::{corpus, target::msg_decode};

    #[test]
    fn my_decoder_agrees_with_the_specification() {
        for seed in corpus::seeds("msg_decode").unwrap() {
            let _ = msg_decode::check(&MyCodec, &seed.bytes); // panics when an oracle finds a fault
        }
    }
}

mod guest_example {
    use std::path::Path;
    use std::sync::OnceLock;

    use std::time::Duration;

    use vhost_fuzz_harness::guest::TestBackend;
    use vhost_fuzz_harness::guest::{GATEWAY_IP, VhostTestClient, packet, parse};

    /// Where the reader's back-end listens.
    fn my_socket() -> &'static Path {
        static BACKEND: OnceLock<TestBackend> = OnceLock::new();
        let ip = Some([192, 0, 2, 10].into());
        BACKEND.get_or_init(|| TestBackend::new([2, 0, 0, 0, 0, 2], ip).expect("ours")).path()
    }

    #[test]
    fn my_back_end_answers_arp() {
        let (mac, ip) = ([2, 0, 0, 0, 0, 2], [192, 0, 2, 10].into());
        let mut client = VhostTestClient::new(my_socket()).unwrap();
        client.send_packet(&packet::arp_request(mac, ip, GATEWAY_IP)).unwrap();
        let reply = client.recv_packet(Duration::from_secs(5)).unwrap();
        assert!(parse::is_arp_reply(&reply)); // read by smoltcp, not by us
    }
}

/// Acts on one request. At most one reply is sent, before the next request is looked at.
fn serve(
    session: &mut Session<OwnedFd, MyMapping>,
    device: &mut MyDevice,
    request: Frame<'_, OwnedFd>,
) -> Result<(), Refusal> {
    let mut step = session.on_frame(request);
    loop {
        match step {
            Step::Need(effect) => {
                let done = device.perform(effect); // maps memory, starts a ring: whatever is I/O
                step = session.on_done(done);
            }
            Step::Reply(reply) => {
                device.send(reply);
                return Ok(());
            }
            Step::Silent => return Ok(()),
            Step::Close(refusal) => return Err(refusal), // refusal.rule() is the broken rule
        }
    }
}

#[test]
fn the_session_of_the_example_answers() {
    let mut session = Session::new(offer()).expect("a possible offer");
    let mut device = MyDevice::default();
    let mut request = [0; HEADER_LEN];
    let header = Header { code: 1, flags: Flags::REQUEST, size: 0 };
    header.write(&mut SliceSink::new(&mut request));
    let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes: &request, fds: <_>::default() };
    assert_eq!(serve(&mut session, &mut device, frame), Ok(()));
    assert_eq!(device.sent[12..], offer().features.to_ne_bytes());
}

#[test]
fn every_line_of_an_example_is_compiled_here() {
    let readme = include_str!("../../../README.md");
    let here = include_str!("readme.rs");
    let known: Vec<&str> = here.lines().map(str::trim).collect();
    let examples: Vec<&str> = readme
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().expect("the end of the example"))
        .collect();
    assert_eq!(examples.len(), 3, "examples in Rust");
    let is_use = |line: &str| line.starts_with("use vhost_fuzz_core::");
    for line in examples.iter().flat_map(|example| example.lines()).map(str::trim) {
        // One import here serves both the example and the test around it.
        assert!(line.is_empty() || is_use(line) || known.contains(&line), "not compiled: {line}");
    }
}

#[test]
fn every_program_that_is_named_is_there() {
    let readme = include_str!("../../../README.md");
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let places = [
        ("--example ", "harness/examples", 1),
        ("--bin ", "backend/src/bin", 1),
        ("--bench ", "benches/benches", 4),
    ];
    for (option, folder, at_least) in places {
        let named: Vec<&str> = readme
            .lines()
            // `cargo xtask fuzz --bench` takes a target, not a bench.
            .filter(|line| !line.contains("cargo xtask"))
            .filter_map(|line| line.split_once(option))
            .filter_map(|(_, rest)| rest.split([' ', '`']).next())
            .collect();
        assert!(named.len() >= at_least, "{option}: {named:?}");
        for name in named {
            let (file, own) = (format!("{name}.rs"), format!("{name}/main.rs"));
            let is_there = [file, own].iter().any(|path| root.join(folder).join(path).is_file());
            assert!(is_there, "the README names {option}{name}: no such file in {folder}");
        }
    }
}

#[test]
fn no_command_has_two_rows() {
    let readme = include_str!("../../../README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let mut commands: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
    commands.sort_unstable();
    assert!(commands.len() > 20, "{commands:?}");
    for pair in commands.windows(2) {
        assert_ne!(pair[0], pair[1]);
    }
}
