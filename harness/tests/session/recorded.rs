//! Every recorded session of a real front-end replays to its end without a refusal, and its rings
//! pass through the states that the recording shows.

use vhost_fuzz_core::session::State;
use vhost_fuzz_harness::corpus::{self, Seed};
use vhost_fuzz_harness::evidence;
use vhost_fuzz_harness::script;
use vhost_fuzz_harness::session::back_end::{BackEnd, Core};
use vhost_fuzz_harness::session::offer::ScriptOffer;
use vhost_fuzz_harness::session::run::{Outcome, Run};

/// A ring's state as one letter.
fn letter(state: State) -> char {
    match (state.started, state.enabled) {
        (false, false) => '-',
        (false, true) => 'e',
        (true, false) => 's',
        (true, true) => 'S',
    }
}

/// The states that each ring passed through, and what came of the session.
fn replay(bytes: &[u8]) -> (Vec<String>, Outcome) {
    let records = script::decode(bytes);
    let offer = ScriptOffer::of_script(&records);
    let mut run = Run::<Core>::new(&offer);
    let mut paths = vec![String::from("-"); offer.queues.into()];
    let mut rest = records.into_iter();
    while let Some(record) = rest.next() {
        run.record(&record, &mut rest);
        for (path, ring) in paths.iter_mut().zip(run.back_end().session().rings()) {
            let now = letter(ring.state());
            if !path.ends_with(now) {
                path.push(now);
            }
        }
    }
    let used = paths.iter().rposition(|path| path != "-").map_or(0, |last| last + 1);
    paths.truncate(used);
    let outcome = run.outcome().clone();
    (paths, outcome)
}

/// Recorded sessions: messages of the front-end, and the path of each ring up to the last that
/// left its first state. `-` stopped and disabled, `e` stopped and enabled, `s` started and disabled, `S` started
/// and enabled.
const SESSIONS: &[(&str, usize, &[&str])] = &[
    ("blkio-nbdkit-qsd", 38, &["-sS-sS-"]),
    ("qemu-smoke-hotplug", 139, &["-eSeSe-", "-eSeSe-", "-sSe-sSe-", "-sSe-sSe-"]),
    ("qemu-smoke-net", 46, &["-e-eSe-e-", "-e-eSe-e-"]),
    ("qemu-smoke-migrate", 48, &["-e-eSe-", "-e-eSe-"]),
    ("qemu-smoke-migrated", 45, &["-eSe-e-", "-eSe-e-"]),
    ("qemu-smoke-mq", 83, &["-e-eSe-e-", "-e-eSe-e-", "-sSe-", "-sSe-"]),
    ("qemu-smoke-reconnect", 103, &["-e-eS-eSe-eSe-e-", "-e-eS-eSe-eSe-e-"]),
    ("qemu-vublk-qsd", 40, &["-sSs-sSs-", "-e-e-"]),
    ("qemu-vufs-c-virtiofsd", 34, &["-sSs-", "-sSs-"]),
    ("qemu-vufs-rust-virtiofsd", 37, &["-sSs-", "-sSs-"]),
    ("qemu-vunet-dpdk-client-srvon", 42, &["-eSe-", "-eSe-"]),
    ("qemu-vunet-dpdk-packed", 42, &["-eSe-", "-eSe-"]),
    ("qemu-vunet-dpdk-server", 42, &["-eSe-", "-eSe-"]),
    ("qemu-vuvsock-vhostdevice", 33, &["-sSs-", "-sSs-"]),
    ("rust-vhost-crate-frontend-qsd", 26, &["-sS-"]),
    ("virtio_user-packed-dpdk", 26, &["-sSs-", "-sSs-"]),
    ("virtio_user-split-dpdk", 26, &["-sSs-", "-sSs-"]),
];

#[test]
fn every_recorded_session_replays_to_its_end() {
    let _shows = evidence::shows(&["VU-054", "VU-060", "VU-065", "VU-066", "VU-109", "VU-256"]);
    let seeds = corpus::seeds("session").expect("a corpus");
    let is_recorded = |seed: &&Seed| {
        ["trace ", "qemu-smoke "].iter().any(|begin| seed.entry.origin.starts_with(begin))
    };
    let recorded: Vec<&Seed> = seeds.iter().filter(is_recorded).collect();
    for seed in &recorded {
        let (paths, outcome) = replay(&seed.bytes);
        assert_eq!(outcome.refusals, [], "{}", seed.name);
        assert_eq!(outcome.closed, 0, "{}", seed.name);
        let (_, messages, expected) = SESSIONS
            .iter()
            .find(|(name, ..)| *name == seed.name)
            .unwrap_or_else(|| panic!("{}: {} {paths:?}", seed.name, outcome.messages));
        assert_eq!(outcome.messages, *messages, "{}", seed.name);
        assert_eq!(paths, *expected, "{}", seed.name);
    }
    assert_eq!(recorded.len(), SESSIONS.len());
}
